// The makers of all nodes, one family a file (node_*.cpp), and what they share.
#pragma once

#include "node.h"

namespace attentive {

template <class T>
using NodeMaker = std::unique_ptr<Node<T>> (*)(NodeLinks links, const NodeOptions &options);

template <class T> std::unique_ptr<Node<T>> make_dense_node(NodeLinks, const NodeOptions &);

// The gradients of a projection's kernel and bias into their places (either may
// be unwanted), see projection.h.
template <class T>
void add_projection_weights(const T *x, const T *d_y, Index rows, Index features, Index columns,
                            GradientPlace<T> kernel, GradientPlace<T> bias, Run<T> &run);

} // namespace attentive
