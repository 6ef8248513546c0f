// The makers of all nodes, one family a file (node_*.cpp), and what they share.
//
// Every op with its inputs, weights, masks and options (a default in brackets).
// Axes count from 0, the batch being axis 0; -1 is the last one. A weight or a
// mask may be left out or be -1 where it says "or none".
//
//   dense                      x[..., D] -> [..., units]
//                              weights kernel[D, units], bias[units] or none; units;
//                              activation and its numbers as below [linear]
//   activation                 x; activation: linear, relu, relu6, leaky_relu, elu, selu, celu,
//                              gelu, silu, swish, mish, sigmoid, hard_sigmoid, hard_silu,
//                              hard_swish, hard_tanh, tanh, tanh_shrink, softplus, softsign,
//                              exponential, log_sigmoid, squareplus, soft_shrink, hard_shrink,
//                              sparse_plus, sparse_sigmoid, threshold, softmax, log_softmax,
//                              sparsemax, glu; numbers that some of them take: negative_slope,
//                              max_value, threshold, value, alpha, approximate, b, axis [-1]
//   unary                      x; operation: negative, abs, square, sqrt, exp, log, rsqrt,
//                              reciprocal, expm1, log1p, log2, log10, sign, floor, ceil, round
//                              (halves to the even), sin, cos, tan, arcsin, arccos, arctan, sinh,
//                              cosh, erf, clip (threshold the least, max_value the largest),
//                              logical_not, isnan, isinf, isfinite; 1 is true
//   embedding                  ids -> ids' shape + [width]; weights table[V, width]; width
//   dropout                    x; rate; key (two words, high and low); use [0], counting the
//                              places where one layer is used; noise_shape [that of x], its
//                              sizes with the batch's, 1 where one decision serves the whole
//                              axis, -1 for the size of x
//   layer_normalization        x; weights gamma or none, beta or none, both of the sizes of the
//                              axes, in order; axes [-1]; epsilon [0.001]; statistics:
//                              mean_variance (the default), variance (Keras's rms_scaling: x is
//                              not centered), mean_square (RMS normalization)
//   binary                     a, b; operation: add, subtract, multiply, divide, power, maximum,
//                              minimum; shapes broadcast, lined up from the right
//   merge                      2 or more; operation: add, subtract, multiply, average, maximum,
//                              minimum; shapes broadcast; an input of fewer axes lacks those
//                              that follow the batch
//   select                     a, b or none; mask of the first axes: a where it is set, else b,
//                              or otherwise [0] where there is no b; shapes broadcast
//   compare                    a, b -> 1 or 0, no gradient; operation: equal, not_equal, greater,
//                              greater_equal, less, less_equal, logical_and, logical_or,
//                              logical_xor; floor_divide -> a number; shapes broadcast
//   where                      condition, a, b: a where the condition is not 0; shapes broadcast
//   reduce                     x; operation: sum, mean, prod, max, min; axes (none: each number
//                              by itself), keepdims; or argmax, argmin; axis [-1], base [0], what
//                              the first place is called
//   cumsum                     x; axis [-1]: the sum of each number and those before it
//   matmul                     a[..., M, K], b[..., K, N] -> [..., M, N], the axes before broadcast;
//                              transpose_a, transpose_b: stored as [..., K, M], [..., N, K]
//   slice                      x, and inputs for their sizes; starts, sizes (rules, see
//                              node_sizes.h, one for every axis), steps
//   take                       x, places -> the places of axis [-1], in their shape; base [0], what
//                              the first place is called; negative ones count from the end
//   take_along                 x, places -> the same of each line of axis [-1] by itself; base [0];
//                              the other sizes are those of x
//   argsort                    x; axis [-1], decreasing, count [all], base [0]: the places of the
//                              numbers in order, no gradient
//   fill                       inputs for their sizes -> sizes (rules); number i is start [0] +
//                              i * step [0]; numbers (a rule) instead of the start
//   weight                     no input -> dims; a weight: its numbers
//   stop_gradient              x -> x, without gradient
//   concatenate                1 or more; axis [-1]
//   reshape                    x -> [B, target...]; target, one size may be -1; target -1 flattens;
//                              or x, inputs for their sizes -> sizes (rules), one may be -1
//   transpose                  x; order, all axes with the batch (output axis i is order[i])
//   constant                   no input -> dims; dims [none, a scalar], values, row-major
//   cast                       x; to: integer (towards 0), logical (0 or 1), float (unchanged)
//   global_average_pooling_1d  x[B, T, C] -> [B, C]; mask[B, T] or none, 0 where it leaves
//                              nothing; axis of time [1]; keepdims
//   global_max_pooling_1d      the same without mask
//   activity_penalty           x -> x; l1, l2: adds their penalty on x / B to the loss
//   function                   1 or more -> what the function in the options gives
//
// Attention: inputs query, value, key (the value again where there is no other), all of one
// rank, the axes that are attended over last before the features; masks of query, value, key
// [B, ...], and of the scores, each or none, a size of 1 broadcasts; outputs the result and, where
// there is a second one, the scores. Options: attended [1], how many axes; order, that of the
// masks' axes where inputs were transposed; whole_batch, whether a mask is a constant for all
// elements of the batch; causal; window [0, none]; rate, key, use as dropout;
// scores: all (the default) or mean, over the heads.
//
//   multi_head_attention       weights kernel and bias (or none) of query, key, gate (or none),
//                              value, output; heads, groups [heads], key_size, value_size
//                              [key_size]; output, its sizes [the query's features]; l1, l2:
//                              penalties on the outputs of all projections, divided by B
//   dot_attention              weights none, none, scale or none
//   additive_attention         weights scale[K], inside, outside, each or none, as AdditiveScore
//
// Ops whose result is a mask; their output value is empty:
//
//   token_mask                 ids -> mask of ids' shape, ids != value [0]
//   mask_or, mask_and          masks (1 or more) -> mask; shapes broadcast from the right
//   mask_concatenate           the inputs of a concatenation, their masks or none (all real);
//                              axis [-1] as there -> mask of the result
#pragma once

#include "node.h"

namespace attentive {

template <class T>
using NodeMaker = std::unique_ptr<Node<T>> (*)(NodeLinks links, const NodeOptions &options);

// A maker is a template of its file, made for float and double by ATTENTIVE_MAKER.
#define ATTENTIVE_MAKER_OF(T, maker)                                                               \
  template std::unique_ptr<Node<T>> maker<T>(NodeLinks, const NodeOptions &);
#define ATTENTIVE_MAKER(maker) ATTENTIVE_MAKER_OF(float, maker) ATTENTIVE_MAKER_OF(double, maker)
#define ATTENTIVE_DECLARE(maker)                                                                   \
  template <class T> std::unique_ptr<Node<T>> maker(NodeLinks, const NodeOptions &);

ATTENTIVE_DECLARE(make_activation_node)
ATTENTIVE_DECLARE(make_activity_penalty_node)
ATTENTIVE_DECLARE(make_additive_attention_node)
ATTENTIVE_DECLARE(make_argsort_node)
ATTENTIVE_DECLARE(make_average_pooling_node)
ATTENTIVE_DECLARE(make_binary_node)
ATTENTIVE_DECLARE(make_cast_node)
ATTENTIVE_DECLARE(make_concatenate_node)
ATTENTIVE_DECLARE(make_compare_node)
ATTENTIVE_DECLARE(make_constant_node)
ATTENTIVE_DECLARE(make_cumsum_node)
ATTENTIVE_DECLARE(make_dense_node)
ATTENTIVE_DECLARE(make_dot_attention_node)
ATTENTIVE_DECLARE(make_dropout_node)
ATTENTIVE_DECLARE(make_embedding_node)
ATTENTIVE_DECLARE(make_fill_node)
ATTENTIVE_DECLARE(make_function_node)
ATTENTIVE_DECLARE(make_layer_normalization_node)
ATTENTIVE_DECLARE(make_mask_and_node)
ATTENTIVE_DECLARE(make_mask_concatenate_node)
ATTENTIVE_DECLARE(make_mask_or_node)
ATTENTIVE_DECLARE(make_matmul_node)
ATTENTIVE_DECLARE(make_max_pooling_node)
ATTENTIVE_DECLARE(make_merge_node)
ATTENTIVE_DECLARE(make_multi_head_node)
ATTENTIVE_DECLARE(make_reduce_node)
ATTENTIVE_DECLARE(make_reshape_node)
ATTENTIVE_DECLARE(make_select_node)
ATTENTIVE_DECLARE(make_slice_node)
ATTENTIVE_DECLARE(make_stop_gradient_node)
ATTENTIVE_DECLARE(make_take_along_node)
ATTENTIVE_DECLARE(make_take_node)
ATTENTIVE_DECLARE(make_token_mask_node)
ATTENTIVE_DECLARE(make_transpose_node)
ATTENTIVE_DECLARE(make_unary_node)
ATTENTIVE_DECLARE(make_weight_node)
ATTENTIVE_DECLARE(make_where_node)

// The gradients of a projection's kernel and bias into their places (either may
// be unwanted), see projection.h.
template <class T>
void add_projection_weights(const T *x, const T *d_y, Index rows, Index features, Index columns,
                            GradientPlace<T> kernel, GradientPlace<T> bias, Run<T> &run);

} // namespace attentive
