# What is built from what. Sources are found, not listed: a new file needs no edit here.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# ---- libraries and programs ------------------------------------------------------------------------------------
sources   = $(sort $(shell find $(1) -name '*.c' ! -name '*_win32.c' 2>/dev/null))
objects   = $(patsubst %.c,$(B)/obj/%.o,$(1))

MAINS         := target/service/main.c initiator/cli/main.c conformance/main.c
BENCH_SRC     := $(call sources,bench)
COMMON_SRC    := $(call sources,common)
TARGET_SRC    := $(filter-out $(MAINS),$(call sources,target))
# The library is for embedding: the program's own files stay out of it.
CLI_SRC       := $(call sources,initiator/cli)
INITIATOR_SRC := $(filter-out $(CLI_SRC),$(call sources,initiator))
CONFORMANCE_SRC := $(filter-out $(MAINS),$(call sources,conformance))
LIBS          := $(B)/libtarget.a $(B)/libconformance.a $(B)/libinitiator.a $(B)/libcommon.a

# A program exists as soon as its main.c does.
program   = $(if $(wildcard $(1)),$(B)/bin/$(2))
PROGRAMS  := $(call program,target/service/main.c,lunette-target) \
             $(call program,initiator/cli/main.c,lunette-initiator) \
             $(call program,conformance/main.c,lunette-conformance) \
             $(call program,bench/main.c,lunette-bench) \
             $(call program,lunette/main.c,lunette)
# Users and tests find the release build in build/bin.
USER_BIN  := $(if $(filter release,$(VARIANT)),$(patsubst $(B)/bin/%,build/bin/%,$(PROGRAMS)))

.PHONY: all lib programs
all: $(PROGRAMS) $(USER_BIN)
programs: all
lib: $(LIBS)

$(B)/libcommon.a:    $(call objects,$(COMMON_SRC))
$(B)/libtarget.a:    $(call objects,$(TARGET_SRC))
$(B)/libinitiator.a: $(call objects,$(INITIATOR_SRC))
$(B)/libconformance.a: $(call objects,$(CONFORMANCE_SRC))
# Made anew: `ar` would keep the members of deleted sources. Renamed into place, for two makes at once. An empty
# library is fine.
$(LIBS):
	@mkdir -p $(@D)
	@$(AR) rcs $@.$$$$ $^ && mv -f $@.$$$$ $@

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "CC $(VARIANT) $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

link = @mkdir -p $(@D) && echo "LD $@" && $(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(1) $(LDLIBS) -o $@

$(B)/bin/lunette-target:    $(B)/obj/target/service/main.o $(B)/libtarget.a $(B)/libconformance.a $(B)/libcommon.a
	$(call link)
$(B)/bin/lunette-initiator: $(call objects,$(CLI_SRC)) $(B)/libinitiator.a $(B)/libconformance.a $(B)/libcommon.a
	$(call link)
$(B)/bin/lunette-conformance: $(B)/obj/conformance/main.o $(B)/libconformance.a $(B)/libcommon.a
	$(call link)
$(B)/bin/lunette-bench:     $(call objects,$(BENCH_SRC)) $(B)/libinitiator.a $(B)/libcommon.a
	$(call link,-lm)
$(B)/bin/lunette: $(call objects,$(call sources,lunette))
	$(call link)
build/bin/%: $(B)/bin/%
	@mkdir -p $(@D)
	@ln -sfn ../$(VARIANT)/bin/$* $@

# ---- unit tests: tests/unit/test_X.c is one program; the folder's other sources are helpers linked into each -----
UNIT_SRC     := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELPERS := $(call objects,$(filter-out $(UNIT_SRC),$(sort $(wildcard tests/unit/*.c))))
UNIT_BIN     := $(patsubst %.c,$(B)/%,$(UNIT_SRC))
UNIT_RUN     := $(if $(T),$(addprefix $(B)/tests/unit/,$(T)),$(UNIT_BIN))

$(UNIT_BIN): $(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(UNIT_HELPERS) $(LIBS)
	$(call link,-lcmocka)

# The simulator's model is tested like any other module.
$(B)/tests/unit/test_sim_model: $(B)/obj/tests/sim/model.o
# So are the load generator's.
$(B)/tests/unit/test_bench: $(call objects,bench/histogram.c bench/pattern.c)
# And how many chunks `copy` and `verify` have under way.
$(B)/tests/unit/test_initiator_window: $(call objects,initiator/cli/window.c)

# Only a full run records proofs: a single test must not empty the file of all the others.
.PHONY: unit unit-build
unit-build: $(UNIT_RUN)
unit: $(UNIT_RUN)
	@scripts/unit $(if $(T),,--proofs $(B)/proofs.tsv) $(UNIT_RUN)

# ---- simulator: tests/sim/*.c is one program -----------------------------------------------------------------------
SIM_SRC := $(sort $(wildcard tests/sim/*.c))
SIM_BIN := $(B)/tests/sim/lunette-sim
# The referee, once it is there, watches every simulated connection.
SIM_REFEREE := $(call sources,conformance/referee)
$(B)/obj/tests/sim/watch.o: CPPFLAGS += $(if $(SIM_REFEREE),-DLUNETTE_REFEREE)

# The simulator's initiators stamp their blocks as lunette-bench does.
$(SIM_BIN): $(call objects,$(SIM_SRC) $(SIM_REFEREE) bench/stamp.c) $(LIBS)
	$(call link)

SIM_ARGS := $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FROM),--from $(FROM)) \
            $(if $(FOREVER),--forever) $(if $(VERBOSE),--verbose) $(if $(SCENARIO),--scenario $(SCENARIO)) \
            $(if $(JOBS),--jobs $(JOBS))

.PHONY: sim sim-build sim-mutants
sim-build: $(if $(SIM_SRC),$(SIM_BIN))
# Only sets record proofs: a replay must not empty the file.
sim: $(if $(SIM_SRC),$(SIM_BIN))
	@$(if $(SEED)$(SCENARIO)$(FOREVER),,: > $(B)/proofs-sim.tsv)
	$(if $(SEED)$(SCENARIO)$(FOREVER),,LUNETTE_PROOFS=$(B)/proofs-sim.tsv) $(SIM_BIN) $(SIM_ARGS)
# Each deliberate defect of common/base/mutant.h until a seed catches it.
sim-mutants:
	@$(MAKE) VARIANT=mutants sim-build
	build/mutants/tests/sim/lunette-sim --mutants $(if $(MUTANT),--mutant $(MUTANT)) $(SIM_ARGS)

# ---- bench: the figures of docs/performance.md; ROWS=pattern ROUNDS=n SECONDS=n to run parts ------------------------
CEILING := $(B)/tests/bench/ceiling
$(CEILING): $(call objects,tests/bench/ceiling.c bench/histogram.c bench/process.c)
	$(call link)

.PHONY: bench ceiling
ceiling: $(CEILING)
bench: all $(CEILING)
	@scripts/setup-peers || echo 'bench: goes on without those of tgt and istgt that are missing'
	@CEILING=$(abspath $(CEILING)) LUNETTE_BIN=$(abspath $(B)/bin) $(PYTHON) tests/bench/run $(if $(ROWS),--rows '$(ROWS)') \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(OUT),--out '$(OUT)')

# ---- integration: pytest against the real programs -----------------------------------------------------------------
# Debian's python has Debian's pytest; a python3 found first on PATH may be another one.
PYTHON := /usr/bin/python3
PYTEST_PROCESSES ?= 4
# A test that makes no sense in a variant (too slow under a sanitizer, a measurement) is marked no_VARIANT.
INTEGRATION_ENV := LUNETTE_BIN=$(abspath $(B)/bin)
# The thread sanitizer is after races between reactors; it does not see through io_uring.
ifeq ($(VARIANT),tsan)
INTEGRATION_ENV += LUNETTE_IO=epoll LUNETTE_REACTORS=4
endif

.PHONY: integration
# As with unit tests, only a full run records proofs.
ifeq ($(ARGS),)
INTEGRATION_ENV += LUNETTE_PROOFS=$(abspath $(B)/proofs-integration.tsv)
endif
integration: all
	@mkdir -p $(B)
	@$(if $(ARGS),,: > $(B)/proofs-integration.tsv)
	$(INTEGRATION_ENV) $(PYTHON) -m pytest -n $(PYTEST_PROCESSES) -m "not no_$(VARIANT)" tests/integration $(ARGS)

# ---- lab: real kernels and firmware inside QEMU, in TAP (CASES: names or their beginnings) --------------------------
.PHONY: lab
lab: all
	@scripts/setup lab && scripts/setup-peers && scripts/setup-lab || echo "lab: set-up did not come to its end"
	@tests/lab/run $(CASES)

# ---- windows: the portable parts compile with mingw-w64 -----------------------------------------------------------
# Left out: a platform's own files (*_posix.c, the Linux backends of io) and env_host.c, which is POSIX and OpenSSL.
WIN_CC     := x86_64-w64-mingw32-gcc
WIN_LINUX  := common/base/env_host.c common/io/uring% common/io/epoll%
WIN_SRC    := $(filter-out $(WIN_LINUX) %_posix.c,$(shell find common target/iscsi target/scsi target/store \
                initiator/iscsi conformance/referee lunette -name '*.c' 2>/dev/null))
WIN_OBJ    := $(sort $(WIN_SRC:%.c=build/windows/obj/%.o))
# mingw's own printf family knows C99 (%zu), but its gcc checks formats against Microsoft's: the other builds check them.
WIN_CFLAGS := -std=c11 $(WARN) -Wno-format -Wno-format-extra-args -O2 -g -I. -D_GNU_SOURCE -D__USE_MINGW_ANSI_STDIO=1

.PHONY: windows
windows: $(WIN_OBJ) build/windows/bin/lunette.exe
	@echo "windows: $(words $(WIN_OBJ)) files compiled"
# Programs that are whole on Windows.
build/windows/bin/lunette.exe: $(filter build/windows/obj/lunette/%,$(WIN_OBJ))
	@mkdir -p $(@D)
	@echo "LD $@"
	@$(WIN_CC) $(WIN_CFLAGS) $^ -static -o $@
build/windows/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "CC windows $<"
	@$(WIN_CC) $(WIN_CFLAGS) -MMD -MP -c $< -o $@

# ---- tidy, requirements, check -------------------------------------------------------------------------------------
# Object files of the release build are what tidy reads: sanitizers would add calls of their own.
.PHONY: tidy requirements check format-check
tidy:
	@$(MAKE) VARIANT=release lib
	@scripts/tidy --self-test
	@scripts/tidy build/release/obj
requirements:
	@scripts/requirements --self-test
	@scripts/requirements

# ---- do the tests see what is wrong? (docs/testing.md) ----------------------------------------------------------------
# Random one-operator changes of engine code, and enforcement points that are switched off, each in a copy of the tree.
.PHONY: mutants proofs
mutants:
	@scripts/mutants --self-test
	@nice scripts/mutants --n $(or $(N),200) --seed $(or $(SEED),1) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FILES),--files '$(FILES)')
proofs:
	@scripts/proofs --self-test
	@nice scripts/proofs --sample $(or $(SAMPLE),40) --seed $(or $(SEED),1) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FILES),--files '$(FILES)')
check:
	@scripts/check
# Tables keep one row per line, whatever clang-format thinks of it.
TABLES := common/base/err.h conformance/referee/rules.h common/iscsi/key_def.h $(addprefix common/scsi/,asc_names.c opcode_names.c cdb_def.h \
            field.h inquiry.h mode.h capacity.h)
format-check:
	@clang-format --dry-run --Werror $(filter-out $(TABLES),$(shell git ls-files '*.c' '*.h'))

# ---- run, install, clean -------------------------------------------------------------------------------------------
.PHONY: run install clean
run:
	@scripts/setup run
	@$(MAKE) all
	@ONCE=$(ONCE) scripts/run
install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
clean:
	rm -rf build/release build/clang build/asan build/tsan build/mutants build/windows build/bin build/check

# Headers each object was made from, as the compiler saw them.
-include $(shell find $(B)/obj build/windows/obj -name '*.d' 2>/dev/null)
