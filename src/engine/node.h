// What every layer, operation and activation of a model is to the engine: it
// plans its shapes, computes its outputs from its inputs, and passes gradients
// back. A program (program.h) is a list of nodes in order.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "parallel.h"
#include "tensor.h"

namespace attentive {

using Dims = std::vector<Index>; // row-major, the batch first

inline Index count(const Dims &dims) {
  Index total = 1;
  for (Index dim : dims)
    total = checked_product(total, dim);
  return total;
}

// A tensor of a running program.
template <class T> struct Value {
  Dims dims;
  Buffer<T> data;
  bool wants_gradient = false; // something upstream of it is trained
  bool has_gradient = false;   // written in this backward pass
  Buffer<T> gradient;
};

// A mask of tokens, [B, ...] in bytes, 1 = real.
struct MaskValue {
  Dims dims;
  Buffer<std::uint8_t> data;
};

// A weight stands outside the program: R owns its numbers, which are aligned to
// 16 bytes only. What a node makes of one that is a state (a moving mean) is
// pending: whoever ran the program writes it, where the step is not abandoned.
template <class T> struct Weight {
  const T *data = nullptr;
  Index size = 0;
  bool wants_gradient = false, has_gradient = false;
  bool has_pending = false; // written in this forward pass
  Buffer<T> gradient, pending;
};

// Everything that nodes work on in one run.
template <class T> struct Run {
  std::vector<Value<T>> values;
  std::vector<MaskValue> masks;
  std::vector<Weight<T>> weights;
  bool training = false;
  std::uint64_t call = 0; // number of the step: dropout draws by it
  Index batch_offset = 0; // place of this batch's first element, for dropout
  double loss = 0;        // penalties that nodes add while they run forward
  Execution execution;
};

// Where a gradient goes. The first writer of a pass overwrites, the others add,
// so that nothing has to be cleared. data is null where nobody wants it.
template <class T> struct GradientPlace {
  T *data = nullptr;
  bool accumulate = false;
};

// The place for the gradient of a value or a weight; marks it as written.
template <class T, class Owner> GradientPlace<T> gradient_place(Owner &owner, Index size) {
  if (!owner.wants_gradient)
    return {};
  if (owner.gradient.size() != size)
    owner.gradient = Buffer<T>(size);
  const GradientPlace<T> place = {owner.gradient.data(), owner.has_gradient};
  owner.has_gradient = true;
  return place;
}

// The numbers of a state for a node to change in place: those that a node before it
// has left pending, at first the weight's own.
template <class T> T *pending_place(Weight<T> &state) {
  T *place = fit(state.pending, state.size);
  if (!state.has_pending)
    std::copy_n(state.data, state.size, place);
  state.has_pending = true;
  return place;
}

// What a function from outside computes on, row-major.
struct Array {
  Dims dims;
  Buffer<double> data;
};

// A function from outside (of R) as a node. It is called on the calling thread
// and may throw.
struct NodeFunction {
  std::function<Dims(const std::vector<Dims> &inputs)> shape;
  std::function<Array(const std::vector<Array> &inputs)> forward;
  // The gradients of the inputs, given that of the output; may be null.
  std::function<std::vector<Array>(const std::vector<Array> &inputs, const Array &d_output)>
      backward;
};

// Options of a node as R hands them over.
struct NodeOptions {
  std::map<std::string, std::vector<double>> numbers;
  std::map<std::string, std::string> texts;
  std::shared_ptr<const NodeFunction> function; // of the op "function"

  double number(const std::string &name, double otherwise) const;
  std::vector<double> list(const std::string &name) const;
  bool flag(const std::string &name) const { return number(name, 0) != 0; }
  std::string text(const std::string &name, const std::string &otherwise = "") const;
};

// Indices into the values, masks and weights of a run; -1 is "none" (an absent
// mask, a missing bias).
struct NodeLinks {
  std::vector<int> inputs, outputs, masks, mask_outputs, weights;
};

template <class T> class Node {
public:
  explicit Node(NodeLinks links) : links_(std::move(links)) {}
  virtual ~Node() = default;

  // Sets the dims of the outputs (and of mask outputs) from those of the inputs
  // and makes scratch memory. std::invalid_argument where shapes do not fit.
  virtual void plan(Run<T> &run) = 0;
  // Fills the outputs, whose memory is there.
  virtual void forward(Run<T> &run) = 0;
  // Passes the gradients of the outputs on to inputs and weights, through
  // gradient_place(). Called only if an output has a gradient.
  virtual void backward(Run<T> &run) = 0;

  // Whether the samples of a batch may be computed apart and on any thread.
  virtual bool separable() const { return true; }
  virtual bool separable_in_training() const { return separable(); }

  const NodeLinks &links() const { return links_; }

protected:
  Value<T> &input(Run<T> &run, std::size_t i = 0) const {
    return run.values[static_cast<std::size_t>(links_.inputs[i])];
  }
  Value<T> &output(Run<T> &run, std::size_t i = 0) const {
    return run.values[static_cast<std::size_t>(links_.outputs[i])];
  }
  // Null where there is no such mask or weight.
  MaskValue *mask(Run<T> &run, std::size_t i = 0) const {
    if (i >= links_.masks.size() || links_.masks[i] < 0)
      return nullptr;
    return &run.masks[static_cast<std::size_t>(links_.masks[i])];
  }
  Weight<T> *weight(Run<T> &run, std::size_t i) const {
    if (i >= links_.weights.size() || links_.weights[i] < 0)
      return nullptr;
    return &run.weights[static_cast<std::size_t>(links_.weights[i])];
  }
  GradientPlace<T> input_gradient(Run<T> &run, std::size_t i = 0) const {
    Value<T> &value = input(run, i);
    return gradient_place<T>(value, value.data.size());
  }
  GradientPlace<T> weight_gradient(Run<T> &run, std::size_t i) const {
    Weight<T> *w = weight(run, i);
    return w == nullptr ? GradientPlace<T>() : gradient_place<T>(*w, w->size);
  }

private:
  NodeLinks links_;
};

// The node that `op` names; std::invalid_argument where there is none. Each
// family of nodes stands in a file of its own, node_*.cpp.
template <class T>
std::unique_ptr<Node<T>> make_node(const std::string &op, NodeLinks links,
                                   const NodeOptions &options);

} // namespace attentive
