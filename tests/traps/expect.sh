# Read by the scripts here: a comparison that ends the test when it fails.
#   expect WHAT WANTED GOT

expect() {
    if [ "$2" != "$3" ]; then
        printf '%s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
    printf '%s: %s\n' "$1" "$3"
}
