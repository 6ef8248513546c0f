// Tensors that come from no other: numbers in a row, sizes as numbers, weights;
// and one that hides where it comes from.
#include "node_loops.h"
#include "node_sizes.h"

namespace attentive {
namespace {

// [sizes...], number i in row-major order being start + i * step; the inputs
// are there for their sizes. A rule in `numbers` stands for the start.
template <class T> class FillNode final : public Node<T> {
public:
  FillNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), sizes_(options.list("sizes")), numbers_(options.list("numbers")),
        start_(options.number("start", 0)), step_(options.number("step", 0)) {}

  void plan(Run<T> &run) override {
    const Dims dims = sizes_of(sizes_, run, this->links().inputs);
    for (Index size : dims)
      if (size < 0)
        throw std::invalid_argument("a size is negative");
    this->output(run).dims = dims;
    const std::vector<Index> numbers = sizes_of(numbers_, run, this->links().inputs);
    if (!numbers.empty())
      start_ = static_cast<double>(numbers[0]);
  }

  void forward(Run<T> &run) override {
    T *y = this->output(run).data.data();
    for_parts(this->output(run).data.size(), kElementsOfTask, run.execution,
              [&](Index first, Index last) {
                for (Index i = first; i < last; ++i)
                  y[i] = static_cast<T>(start_ + static_cast<double>(i) * step_);
              });
  }

  void backward(Run<T> &) override {}

private:
  std::vector<double> sizes_, numbers_;
  double start_, step_;
};

// The numbers of a weight.
template <class T> class WeightNode final : public Node<T> {
public:
  WeightNode(NodeLinks links, const NodeOptions &options) : Node<T>(std::move(links)) {
    for (double size : options.list("dims"))
      dims_.push_back(static_cast<Index>(size));
  }

  void plan(Run<T> &run) override { this->output(run).dims = dims_; }

  void forward(Run<T> &run) override {
    const Weight<T> &w = *this->weight(run, 0);
    std::copy_n(w.data, w.size, this->output(run).data.data());
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    pass_gradient(y.gradient.data(), this->weight_gradient(run, 0), y.data.size(), run.execution);
  }

private:
  Dims dims_;
};

template <class T> class StopGradientNode final : public SameShapeNode<T> {
public:
  using SameShapeNode<T>::SameShapeNode;
  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    pass_gradient<T>(x.data.data(), {this->output(run).data.data(), false}, x.data.size(),
                     run.execution);
  }
  void backward(Run<T> &) override {}
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_fill_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<FillNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_weight_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<WeightNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_stop_gradient_node(NodeLinks links, const NodeOptions &) {
  return std::make_unique<StopGradientNode<T>>(std::move(links));
}
ATTENTIVE_MAKER(make_fill_node)
ATTENTIVE_MAKER(make_weight_node)
ATTENTIVE_MAKER(make_stop_gradient_node)

} // namespace attentive
