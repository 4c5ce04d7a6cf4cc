# Makefile: the commands of the project. `make demo` shows the whole thing on a fresh Debian machine.

HTC_BED ?= /var/cache/htc-operator
# Inside the pool's root, test binaries are seen only here.
export CARGO_TARGET_DIR ?= $(HTC_BED)/target
export HTC_BED

.PHONY: demo up down test soak check lint bench crds undeploy image

# One HTCJob from nothing to its log.
demo:
	@testbed/demo.sh

# The test bed and the operator, left running to play with.
up:
	@testbed/testbed up operator

# Ends both; the state stays (testbed/testbed wipe removes it).
down:
	@testbed/testbed down

# Every test but the slow ones: brings the bed up for those that need it.
test:
	@testbed/test.sh

# The tests of the bed on the newer HTCondor of Debian sid, in a bed beside the first one, and the slow tests.
soak:
	@testbed/soak.sh

# The tests that need no bed.
check:
	cargo test --locked --workspace --quiet

# Formatting, clippy, shellcheck: warnings are errors.
lint:
	@testbed/lint.sh

# Speed, beside the alternatives in the same run.
bench:
	@testbed/bench.sh

# Everything out of the cluster that KUBECONFIG names: HTCJobs, CRD, operator.
undeploy:
	@deploy/undeploy.sh

# The generated CustomResourceDefinition.
crds:
	cargo run --locked --quiet --bin htc-operator -- crd > crds/htcjob.yaml.new
	mv crds/htcjob.yaml.new crds/htcjob.yaml

# The operator's image, under the name that deploy/ has; IMAGE=… for another one.
IMAGE ?= registry.example.org/htc-operator:$(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
image:
	@engine=$$(command -v docker || command -v podman) || \
	  { echo "make image needs docker or podman; neither is in PATH." >&2; exit 1; }; \
	"$$engine" build --tag "$(IMAGE)" .
