#!/bin/sh
for file in `ls *.txt`; do
    echo $file
    [ $file == x ] && cd /tmp
done
read line
