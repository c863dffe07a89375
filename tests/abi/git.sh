#!/bin/bash
# git on a generated repository: commits, branches, merges, threads in gc, history and blame.
source "$(dirname "$0")/lib.sh"

export HOME=$work GIT_CONFIG_NOSYSTEM=1
git config --global user.name "A Writer"
git config --global user.email writer@example.org
git config --global gc.auto 0
git config --global init.defaultBranch trunk
git config --global pack.threads 2

scenario()
{
    clock=1600000000
    commit()
    {
        clock=$((clock + 3600))
        GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000" "$@" > /dev/null
    }

    git init --quiet repository
    cd repository || return
    for ((i = 1; i <= 25; i++)); do
        awk -v round="$i" 'BEGIN {
            x = round * 7919
            for (file = 0; file < 60; file++) {
                x = (x * 16807) % 2147483647
                name = "file_" (x % 150) ".txt"
                for (line = 0; line < 40; line++) {
                    x = (x * 16807) % 2147483647
                    print "round", round, "line", line, x >> name
                }
                close(name)
            }
        }'
        git add --all
        commit git commit --quiet -m "Round $i"
        if ((i % 8 == 0)); then
            git switch --quiet -c "branch_$i" HEAD~3
            echo "on a branch" > "branch_$i.txt"
            git add --all
            commit git commit --quiet -m "On branch $i"
            git switch --quiet trunk
            commit git merge --quiet --no-edit "branch_$i"
        fi
    done

    git gc --quiet --aggressive --prune=now
    git fsck --full --strict
    git log --all --stat --format='%H %an %aI %s' > ../log
    git log -p trunk | sha256sum
    git blame file_7.txt > ../blame
    git diff --stat HEAD~20 HEAD
    git rev-list --objects --all | sort | sha256sum
    git grep -c 'line 3' HEAD > ../grep
    git archive HEAD | sha256sum
    git clone --quiet --no-local . ../clone
    git -C ../clone rev-parse HEAD
    cd .. || return
    rm -rf repository clone # the pack files depend on which thread was faster
}
compare 150 git
