// Nodes that move numbers and change none: reshape, transpose, concatenate,
// constant, cast.
#include <cmath>

#include "node_loops.h"
#include "node_sizes.h"
#include "permute.h"

namespace attentive {
namespace {

template <class T> class ReshapeNode final : public Node<T> {
public:
  ReshapeNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), target_(options.list("target")), sizes_(options.list("sizes")) {}

  void plan(Run<T> &run) override {
    if (target_.empty())
      return plan_whole(run);
    const Dims &dims = this->input(run).dims;
    const Index numbers = count(Dims(dims.begin() + 1, dims.end()));
    Index known = 1;
    for (double size : target_)
      known = checked_product(known, size < 0 ? 1 : static_cast<Index>(size));
    Dims out = {dims[0]};
    for (double size : target_)
      out.push_back(size >= 0 ? static_cast<Index>(size) : known == 0 ? 0 : numbers / known);
    if (count(Dims(out.begin() + 1, out.end())) != numbers)
      throw std::invalid_argument("the target shape has another number of elements");
    this->output(run).dims = out;
  }

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    pass_gradient<T>(x.data.data(), {this->output(run).data.data(), false}, x.data.size(),
                     run.execution);
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    pass_gradient(y.gradient.data(), this->input_gradient(run), y.data.size(), run.execution);
  }

private:
  // All sizes with that of the batch; one may be -1.
  void plan_whole(Run<T> &run) const {
    Dims out = sizes_of(sizes_, run, this->links().inputs);
    const Index numbers = count(this->input(run).dims);
    Index known = 1, open = 0;
    for (Index size : out)
      size < 0 ? ++open : known = checked_product(known, size);
    for (Index &size : out)
      if (size < 0)
        size = known == 0 ? 0 : numbers / known;
    if (open > 1 || count(out) != numbers)
      throw std::invalid_argument("the new shape has another number of elements");
    this->output(run).dims = out;
  }

  std::vector<double> target_, sizes_;
};

template <class T> class TransposeNode final : public Node<T> {
public:
  TransposeNode(NodeLinks links, const std::vector<double> &order) : Node<T>(std::move(links)) {
    for (double axis : order)
      order_.push_back(static_cast<std::size_t>(axis));
  }

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    std::vector<std::size_t> sorted = order_;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i)
      if (sorted[i] != i || sorted.size() != dims.size())
        throw std::invalid_argument("a transposition names each axis once");
    Dims out;
    for (std::size_t axis : order_)
      out.push_back(dims[axis]);
    this->output(run).dims = out;
  }

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    permute(x.data.data(), x.dims, order_, this->output(run).data.data(), run.execution);
  }

  void backward(Run<T> &run) override {
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data != nullptr)
      unpermute<T>(this->output(run).gradient.data(), this->input(run).dims, order_, d_x,
                   run.execution);
  }

private:
  std::vector<std::size_t> order_;
};

template <class T> class ConcatenateNode final : public Node<T> {
public:
  ConcatenateNode(NodeLinks links, double axis) : Node<T>(std::move(links)), axis_(axis) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    axis_place_ = resolve_axis(axis_, dims);
    for (std::size_t k = 1; k < this->links().inputs.size(); ++k) {
      Dims other = this->input(run, k).dims;
      if (other.size() != dims.size())
        throw std::invalid_argument("tensors with different numbers of axes are not joined");
      dims[axis_place_] += other[axis_place_];
      other[axis_place_] = dims[axis_place_];
      if (other != dims)
        throw std::invalid_argument("tensors to be joined differ on one axis only");
    }
    this->output(run).dims = dims;
    const AxisSplit split = split_at(dims, axis_place_);
    outer_ = split.outer;
    width_ = split.size * split.inner;
    inner_ = split.inner;
  }

  void forward(Run<T> &run) override {
    T *y = this->output(run).data.data();
    Index start = 0;
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k) {
      const T *x = this->input(run, k).data.data();
      const Index width = part_width(run, k);
      for_row_parts(outer_, width, run.execution, [&](Index first, Index last) {
        for (Index row = first; row < last; ++row)
          std::copy_n(x + row * width, width, y + row * width_ + start);
      });
      start += width;
    }
  }

  void backward(Run<T> &run) override {
    const T *d_y = this->output(run).gradient.data();
    Index start = 0;
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k) {
      const Index width = part_width(run, k);
      const GradientPlace<T> d_x = this->input_gradient(run, k);
      if (d_x.data != nullptr)
        for_row_parts(outer_, width, run.execution, [&](Index first, Index last) {
          for (Index row = first; row < last; ++row) {
            const T *from = d_y + row * width_ + start;
            write_gradient<T>({d_x.data + row * width, d_x.accumulate}, 0, width,
                              [from](Index i) { return from[i]; });
          }
        });
      start += width;
    }
  }

private:
  Index part_width(Run<T> &run, std::size_t k) const {
    return this->input(run, k).dims[axis_place_] * inner_;
  }

  double axis_;
  std::size_t axis_place_ = 0;
  Index outer_ = 0, width_ = 0, inner_ = 0; // rows, their width, numbers below the axis
};

template <class T> class ConstantNode final : public Node<T> {
public:
  ConstantNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), values_(options.list("values")) {
    for (double size : options.list("dims"))
      dims_.push_back(static_cast<Index>(size));
    if (count(dims_) != static_cast<Index>(values_.size()))
      throw std::invalid_argument("a constant has other dims than numbers");
  }

  void plan(Run<T> &run) override { this->output(run).dims = dims_; }

  void forward(Run<T> &run) override {
    T *y = this->output(run).data.data();
    for (std::size_t i = 0; i < values_.size(); ++i)
      y[i] = static_cast<T>(values_[i]);
  }

  void backward(Run<T> &) override {}

private:
  std::vector<double> values_;
  Dims dims_;
};

enum class CastTo { integer, logical, same };

template <class T> class CastNode final : public SameShapeNode<T> {
public:
  CastNode(NodeLinks links, CastTo to) : SameShapeNode<T>(std::move(links)), to_(to) {}

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for (Index i = 0; i < this->output(run).data.size(); ++i)
      y[i] = to_ == CastTo::integer   ? std::trunc(x[i])
             : to_ == CastTo::logical ? T(x[i] != 0)
                                      : x[i];
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    if (to_ == CastTo::same)
      pass_gradient(y.gradient.data(), this->input_gradient(run), y.data.size(), run.execution);
  }

private:
  CastTo to_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_reshape_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ReshapeNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_transpose_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<TransposeNode<T>>(std::move(links), options.list("order"));
}
template <class T>
std::unique_ptr<Node<T>> make_concatenate_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ConcatenateNode<T>>(std::move(links), options.number("axis", -1));
}
template <class T>
std::unique_ptr<Node<T>> make_constant_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ConstantNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_cast_node(NodeLinks links, const NodeOptions &options) {
  const std::string to = options.text("to", "float");
  return std::make_unique<CastNode<T>>(std::move(links), to == "integer"   ? CastTo::integer
                                                         : to == "logical" ? CastTo::logical
                                                                           : CastTo::same);
}
ATTENTIVE_MAKER(make_reshape_node)
ATTENTIVE_MAKER(make_transpose_node)
ATTENTIVE_MAKER(make_concatenate_node)
ATTENTIVE_MAKER(make_constant_node)
ATTENTIVE_MAKER(make_cast_node)

} // namespace attentive
