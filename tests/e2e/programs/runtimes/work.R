# Linear algebra, a model, strings, and workers by fork.
m <- matrix(c(4, 2, 7, 6, 9, 1, 3, 8, 5), 3)
print(round(solve(m) %*% m, 6))
print(round(coef(lm(mpg ~ wt, data = mtcars)), 4))
print(table(substr(month.name, 1, 1)))
print(unlist(parallel::mclapply(1:6, function(n) sum((1:1000)^n %% 7), mc.cores = 2)))
cat(system("echo from a shell", intern = TRUE), "\n")
quit(status = 2)
