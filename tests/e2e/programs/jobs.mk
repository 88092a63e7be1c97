# Three jobs at once, one after them.
all: one two three
	@echo "all" $$(seq 2)
one two three:
	@test "$$(seq 10 | wc -l)" = 10
.PHONY: all one two three
