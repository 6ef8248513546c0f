// Orders of numbers along an axis, and numbers taken by such an order.
#include <cmath>
#include <numeric>

#include "node_loops.h"

namespace attentive {
namespace {

// x[outer, size, inner] -> places[outer, count, inner] of the numbers in order;
// equal ones stay in their order, NaN counts as the largest.
template <class T> class ArgsortNode final : public Node<T> {
public:
  ArgsortNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), axis_(options.number("axis", -1)),
        most_(options.number("count", -1)), base_(static_cast<T>(options.number("base", 0))),
        decreasing_(options.flag("decreasing")) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    const std::size_t axis = resolve_axis(axis_, dims);
    split_ = split_at(dims, axis);
    count_ = most_ < 0 ? split_.size : static_cast<Index>(most_);
    if (count_ > split_.size)
      throw std::invalid_argument("an axis of size " + std::to_string(split_.size) + " has no " +
                                  std::to_string(count_) + " largest numbers");
    dims[axis] = count_;
    this->output(run).dims = dims;
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    const Index inner = split_.inner;
    for_row_parts(split_.outer * inner, split_.size, run.execution, [&](Index first, Index last) {
      std::vector<Index> order(static_cast<std::size_t>(split_.size));
      for (Index line = first; line < last; ++line) {
        const T *from = x + line / inner * split_.size * inner + line % inner;
        T *to = y + line / inner * count_ * inner + line % inner;
        std::iota(order.begin(), order.end(), Index(0));
        std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
          const T first_number = from[a * inner], second = from[b * inner];
          return decreasing_ ? before(second, first_number) : before(first_number, second);
        });
        for (Index i = 0; i < count_; ++i)
          to[i * inner] = static_cast<T>(order[static_cast<std::size_t>(i)]) + base_;
      }
    });
  }

  void backward(Run<T> &) override {}

private:
  static bool before(T a, T b) { return a < b || (std::isnan(b) && !std::isnan(a)); }

  double axis_, most_;
  T base_;
  bool decreasing_;
  AxisSplit split_;
  Index count_ = 0;
};

// x[outer, size, inner], places[outer, count, inner] -> the numbers at these
// places, each in its own line
template <class T> class TakeAlongNode final : public Node<T> {
public:
  TakeAlongNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), axis_(options.number("axis", -1)),
        base_(options.number("base", 0)) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run, 0).dims, places = this->input(run, 1).dims;
    const std::size_t axis = resolve_axis(axis_, dims);
    Dims expected = dims;
    if (places.size() == dims.size())
      expected[axis] = places[axis];
    if (places != expected)
      throw std::invalid_argument("places along an axis have the other sizes of what they are in");
    split_ = split_at(dims, axis);
    count_ = places[axis];
    this->output(run).dims = places;
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run, 0).data.data(), *places = this->input(run, 1).data.data();
    T *y = this->output(run).data.data();
    for (Index i = 0; i < this->output(run).data.size(); ++i)
      y[i] = x[from(places, i)];
  }

  void backward(Run<T> &run) override {
    const GradientPlace<T> to = this->input_gradient(run);
    if (to.data == nullptr)
      return;
    if (!to.accumulate)
      std::fill_n(to.data, this->input(run).data.size(), T(0));
    const T *places = this->input(run, 1).data.data();
    const T *d_y = this->output(run).gradient.data();
    for (Index i = 0; i < this->output(run).data.size(); ++i)
      to.data[from(places, i)] += d_y[i];
  }

private:
  Index from(const T *places, Index i) const {
    const Index place = place_in(split_.size, static_cast<double>(places[i]), base_);
    const Index outer = i / (count_ * split_.inner);
    return (outer * split_.size + place) * split_.inner + i % split_.inner;
  }

  double axis_, base_;
  AxisSplit split_;
  Index count_ = 0;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_argsort_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<ArgsortNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_take_along_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<TakeAlongNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_argsort_node)
ATTENTIVE_MAKER(make_take_along_node)

} // namespace attentive
