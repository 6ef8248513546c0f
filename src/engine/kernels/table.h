// The one table through which the engine reaches its hot loops. They are
// written once, in the headers that all_kernels.h lists, and compiled once per
// instruction set by kern_<level>.cpp.
//
// To add a set of kernels: declare its struct of function pointers (as in
// attention_table.h), add it as a member of Kernels, define a function that
// fills it in a kernel header, and name both in all_kernels.h.
#pragma once

#include "additive_table.h"
#include "attention_table.h"
#include "matmul_table.h"
#include "backward_table.h"
#include "dropout_table.h"
#include "elementwise_table.h"
#include "optimizer_table.h"
#include "rows_table.h"

namespace attentive {

// T is float or double.
template <class T> struct Kernels {
  AttentionKernels<T> attention;
  AdditiveKernels<T> additive;
  MatmulKernels<T> matmul;
  BackwardKernels<T> backward;
  DropoutKernels dropout;
  OptimizerKernels<T> optimizer;
  ElementwiseKernels<T> elementwise;
  RowKernels<T> rows;
};

// The kernels of the level in use (cpu.h).
template <class T> const Kernels<T> &kernels();

// One set per level; only those of the architecture at hand exist.
namespace baseline {
const Kernels<float> &kernels_float();
const Kernels<double> &kernels_double();
} // namespace baseline
namespace avx2 {
const Kernels<float> &kernels_float();
const Kernels<double> &kernels_double();
} // namespace avx2
namespace avx512 {
const Kernels<float> &kernels_float();
const Kernels<double> &kernels_double();
} // namespace avx512
namespace neon {
const Kernels<float> &kernels_float();
const Kernels<double> &kernels_double();
} // namespace neon

} // namespace attentive
