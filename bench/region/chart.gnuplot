# The smallest heap by scenario and allocator, one panel a machine. Needs `figures` and `chart`.
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#666666"
set tics nomirror
set ylabel "bytes of heap, control data included"
set key top left reverse Left

names = "A B C F"

# The figure of an allocator in a scenario.
figure(machine, allocator, scenario) = system(sprintf( \
    "sed -n 's/^%s %s %s //p' %s", machine, allocator, scenario, figures)) + 0

array avr_neap[4]
array avr_libc[4]
array m3_neap[4]
array m3_nano[4]
array m3_newlib[4]
do for [i = 1:4] {
    avr_neap[i] = figure("avr", "neap-region", word(names, i))
    avr_libc[i] = figure("avr", "avr-libc", word(names, i))
    m3_neap[i] = figure("m3", "neap-region", word(names, i))
    m3_nano[i] = figure("m3", "newlib-nano", word(names, i))
    m3_newlib[i] = figure("m3", "newlib", word(names, i))
}

do for [format in "svg png"] {
    if (format eq "svg") {
        set terminal svg size 1100,520 font "DejaVu Sans,13" background "white"
    } else {
        set terminal pngcairo size 1100,520 font "DejaVu Sans,11" background "white"
    }
    set output chart.".".format
    set multiplot layout 1,2 title "The smallest heap that survives (lower is better)"
    set xtics ("A: a command\nhangs, then\na login" 0, "B: two logins\nat once" 1, \
        "C: a command\nhangs in SHA-1,\nthen logins" 2, "F: 40, 400, 60;\nfree the 400;\n40, 400" 3)
    set bmargin 5

    set title "AVR (ATmega2560)"
    set yrange [0:1800]
    plot avr_neap using 2 title "neap region" lc rgb "#1b6ca8", \
         avr_libc using 2 title "avr-libc" lc rgb "#d98c3f", \
         avr_neap using 0:($2 + 40):2 with labels notitle font ",9" offset -2,0, \
         avr_libc using 0:($2 + 40):2 with labels notitle font ",9" offset 2,0

    set title "Cortex-M3"
    set yrange [0:5000]
    plot m3_neap using 2 title "neap region" lc rgb "#1b6ca8", \
         m3_nano using 2 title "newlib-nano" lc rgb "#d98c3f", \
         m3_newlib using 2 title "newlib (grows by pages of 4,096)" lc rgb "#b0b0b0", \
         m3_neap using 0:($2 + 110):2 with labels notitle font ",9" offset -2.5,0, \
         m3_nano using 0:($2 + 110):2 with labels notitle font ",9", \
         m3_newlib using 0:($2 + 110):2 with labels notitle font ",9" offset 2.5,0
    unset multiplot
    set output
}
