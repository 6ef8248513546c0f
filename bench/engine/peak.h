// The multiply-add peak of one core, measured: independent chains in registers.
#pragma once

#include "cpu.h"

// Operations (a multiply and an add count as two) done in `rounds` rounds.
double peak_round_float(attentive::Level level, long rounds);
double peak_round_double(attentive::Level level, long rounds);
