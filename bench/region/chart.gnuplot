# The smallest heap by scenario and allocator, one panel a machine. Needs `figures` and `chart`.
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#666666"
set tics nomirror
set xtics scale 0 font ",10"
set yrange [0:1600]
set xrange [-0.6:3.6]
set ylabel "bytes of heap"
set key top left reverse Left
set bmargin 5

# The figure of an allocator in a scenario.
figure(machine, allocator, scenario) = system(sprintf( \
    "sed -n 's/^%s %s %s //p' %s", machine, allocator, scenario, figures)) + 0

names = "A B C F"
array avr_neap[4]
array avr_libc[4]
array m3_neap[4]
array m3_nano[4]
do for [i = 1:4] {
    avr_neap[i] = figure("avr", "neap-region", word(names, i))
    avr_libc[i] = figure("avr", "avr-libc", word(names, i))
    m3_neap[i] = figure("m3", "neap-region", word(names, i))
    m3_nano[i] = figure("m3", "newlib-nano", word(names, i))
}
# newlib grows by whole pages, which is far off this scale: its least figure goes into a note.
newlib = figure("m3", "newlib", "A")
do for [i = 2:4] {
    bytes = figure("m3", "newlib", word(names, i))
    if (bytes < newlib) { newlib = bytes }
}

do for [format in "svg png"] {
    if (format eq "svg") {
        set terminal svg size 1200,520 font "DejaVu Sans,13" background "white"
    } else {
        set terminal pngcairo size 1200,520 font "DejaVu Sans,11" background "white"
    }
    set output chart.".".format
    set multiplot layout 1,2 title \
        "The smallest heap that survives (lower is better). neap's own data is counted, the others' is not"
    set xtics ("A: a command\nhangs, then\na login" 0, "B: two logins\nat the same\ntime" 1, \
        "C: a command\nhangs in SHA-1,\nthen 3 logins" 2, "F: 40, 400, 60,\n400 freed,\n40, 400" 3)

    set title "AVR (ATmega2560)"
    plot avr_neap using 2 title "neap region" lc rgb "#1b6ca8", \
         avr_libc using 2 title "avr-libc" lc rgb "#d98c3f", \
         avr_neap using ($0 - 0.16):($2 + 35):2 with labels notitle font ",10", \
         avr_libc using ($0 + 0.16):($2 + 35):2 with labels notitle font ",10"

    set title "Cortex-M3"
    set label 1 sprintf("newlib: at least %d in each", newlib) at graph 0.98, 0.95 right
    plot m3_neap using 2 title "neap region" lc rgb "#1b6ca8", \
         m3_nano using 2 title "newlib-nano" lc rgb "#d98c3f", \
         m3_neap using ($0 - 0.16):($2 + 35):2 with labels notitle font ",10", \
         m3_nano using ($0 + 0.16):($2 + 35):2 with labels notitle font ",10"
    unset label 1
    unset multiplot
    set output
}
