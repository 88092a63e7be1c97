{ sum += $2 }
END { printf "%.2f %s for %d things\n", sum, ENVIRON["CURRENCY"], NR }
