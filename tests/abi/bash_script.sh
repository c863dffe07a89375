#!/bin/bash
# What abi.bash has a shell do. Its output depends on nothing but this text.

declare -A counts
declare -a words

seed=20011
random() # sets $drawn
{
    seed=$(((seed * 16807) % 2147483647))
    drawn=$seed
}

for ((i = 0; i < 20000; i++)); do
    random
    word=w$((drawn % 997))
    words[i]=$word
    counts[$word]=$((${counts[$word]-0} + 1))
done
for word in "${!counts[@]}"; do
    echo "$word ${counts[$word]}"
done | sort | md5sum

# A string that grows, is cut and is searched.
text=
for word in "${words[@]:0:4000}"; do
    text+="$word,"
done
echo "${#text}" "${text:1000:60}" "${text//w9/W9}" | md5sum
IFS=, read -ra pieces <<< "$text"
echo "${#pieces[@]}"

fibonacci()
{
    local n=$1 a b
    if ((n < 2)); then
        result=$n
        return
    fi
    fibonacci $((n - 1))
    a=$result
    fibonacci $((n - 2))
    b=$result
    result=$((a + b))
}
fibonacci 17
echo "fibonacci: $result"

# Child shells, nested and in the background.
for ((i = 0; i < 30; i++)); do
    value=$(printf '%s' "$(echo "$i" | bash -c 'read -r x; echo $((x * x))')" | cat)
    echo "square: $value"
done
for ((i = 0; i < 8; i++)); do
    (
        long=$(printf 'x%.0s' {1..5000})
        echo "$i ${#long}" > "job_$i"
    ) &
done
wait
cat job_*

cat << TEXT
A here-document of ${#words[@]} words: ${words[@]:0:500}
TEXT
unset words counts
