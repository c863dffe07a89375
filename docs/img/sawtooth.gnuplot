# A program that takes 100 MiB and frees them again, often and seldom, under neap: the picture of
# docs/giving_memory_back.md. In the top folder, after a release build:
#
#     export LD_PRELOAD=build/release/lib/libneap.so
#     build/release/bin/return --scenario=sawtooth-fast --period=0.1 --teeth=12 --idle=1 \
#         --trace=/tmp/fast.tsv
#     build/release/bin/return --scenario=sawtooth-slow --period=1.6 --teeth=3 --idle=1 \
#         --trace=/tmp/slow.tsv
#     gnuplot -e "fast='/tmp/fast.tsv'; slow='/tmp/slow.tsv'" docs/img/sawtooth.gnuplot
#
# The traces have a line for each moment: scenario, variant, seconds, rss or live, bytes.
set style data lines
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#666666"
set tics nomirror
set yrange [0:140]
set xlabel "seconds"

MIB = 1048576.0
first(file) = system(sprintf("awk 'NR == 2 { print $3 }' %s", file)) + 0
resident_at_start(file) = system(sprintf("awk '$4 == \"rss\" { print $5; exit }' %s", file)) + 0
# Every third of them: more than the picture can show.
lines_of(file, what) = sprintf( \
    "< awk '$4 == \"%s\" && n++ %% 3 == 0 { printf \"%%.3f %%d\\n\", $3, $5 }' %s", what, file)

do for [format in "svg png"] {
    if (format eq "svg") {
        set terminal svg size 1080,380 font "DejaVu Sans,12" background "white"
    } else {
        set terminal pngcairo size 1080,380 font "DejaVu Sans,10" background "white"
    }
    set output "docs/img/sawtooth.".format
    set multiplot layout 1,2
    do for [panel = 1:2] {
        file = panel == 1 ? fast : slow
        start = first(file)
        base = resident_at_start(file)
        set title panel == 1 ? "Up and down every 0.1 s: soon the memory stays" \
                             : "Every 1.6 s: all goes back, each time"
        set ylabel panel == 1 ? "MiB above the start" : ""
        set xrange [0:panel == 1 ? 3 : 6]
        unset key
        if (panel == 1) { set key top left reverse Left }
        plot lines_of(file, "rss") using ($1 - start):(($2 - base) / MIB) \
                 with filledcurves y1=0 title "resident" lc rgb "#9cc3e6", \
             lines_of(file, "live") using ($1 - start):($2 / MIB) \
                 title "live" lc rgb "#c2410c" lw 1.5
    }
    unset multiplot
    set output
}
