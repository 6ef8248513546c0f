// Every kernel header, in the order in which they build on each other. Included
// inside the namespace (and target region) of one instruction set, after its
// simd_<level>.h: nothing below may include anything or use a template of std.
#include "attention_kernel.h"
#include "additive_kernel.h"
#include "matmul_kernel.h"

#include "backward_kernel.h"

#include "dropout_kernel.h"

#include "optimizer_kernel.h"

#include "elementwise_kernel.h"

#include "rows_kernel.h"

template <class S> Kernels<typename S::Scalar> all_kernels() {
  Kernels<typename S::Scalar> table;
  table.attention = attention_kernels<S>();
  table.additive = additive_kernels<S>();
  table.matmul = matmul_kernels<S>();
  table.backward = backward_kernels<S>();
  table.dropout = dropout_kernels();
  table.optimizer = optimizer_kernels<S>();
  table.elementwise = elementwise_kernels<S>();
  table.rows = row_kernels<S>();
  return table;
}
