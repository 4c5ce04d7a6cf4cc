# Makefile: the commands of the project. `make demo` shows the whole thing on a fresh Debian machine.

.PHONY: demo up down

# One HTCJob from nothing to its log.
demo:
	@testbed/demo.sh

# The test bed and the operator, left running to play with.
up:
	@testbed/testbed up operator

# Ends both; the state stays (testbed/testbed wipe removes it).
down:
	@testbed/testbed down
