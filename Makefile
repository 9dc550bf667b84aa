# Lunette: one Makefile, no configure step. `make run` and `make check` set up what they need.
#   make                programs into build/bin (gcc)     make VARIANT=clang | asan | tsan | mutants
#   make run [ONCE=1]   a target to try, and the commands that connect to it
#   make check          everything below, on all variants; the last line counts
#   make unit [T=test_X] | integration [ARGS=..] | windows | tidy | requirements
#   make sim [SEED=n [VERBOSE=1]] [SEEDS=n [FROM=n]] [FOREVER=1] [SCENARIO=name] | sim-mutants [MUTANT=name]
#   make mutants [N=200] [SEED=n] | proofs [SAMPLE=40] [SEED=n]    do the tests see what is wrong?
#   make bench [ROWS='4k-*'] [ROUNDS=5] [SECONDS=3]    the figures of docs/performance.md; needs a quiet machine
#   make lab [CASES=..] standard initiators in QEMU against the target; minutes
#   make install [PREFIX=/usr/local] [DESTDIR=..] | clean | format-check
# Variants live in build/VARIANT/ and never mix: release, clang, asan, tsan, mutants (with switches for defects), windows.

# `CC` has a built-in value, so ?= would not apply: choose unless the caller did.
ifeq ($(origin CC),default)
CC      := $(if $(filter clang,$(VARIANT)),clang,gcc)
endif
VARIANT ?= $(if $(findstring clang,$(CC)),clang,release)
AR      ?= ar
PREFIX  ?= /usr/local
B       := build/$(VARIANT)

WARN           := -Wall -Wextra -Wconversion -Wshadow -Werror
CFLAGS_release := -O2 -g
CFLAGS_clang   := -O2 -g
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -fsanitize=thread
CFLAGS_mutants := -O2 -g -DLUNETTE_MUTANTS
LDFLAGS_asan   := -fsanitize=address,undefined
LDFLAGS_tsan   := -fsanitize=thread
ifeq ($(filter $(VARIANT),release clang asan tsan mutants),)
$(error VARIANT=$(VARIANT) is none of release, clang, asan, tsan, mutants)
endif

CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
CFLAGS   += -std=c11 $(WARN) $(CFLAGS_$(VARIANT)) -pthread
LDFLAGS  += $(LDFLAGS_$(VARIANT)) -pthread
LDLIBS   += -luring -lcrypto -ljansson

include scripts/rules.mk
