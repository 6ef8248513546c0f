// Comparisons and other operations of two numbers that have no gradient, and
// the choice between two numbers.
#include <cmath>

#include "broadcast.h"
#include "node_loops.h"

namespace attentive {
namespace {

using Compared = double (*)(double, double);

Compared comparison(const std::string &name) {
  static const std::map<std::string, Compared> all = {
      {"equal", [](double a, double b) { return double(a == b); }},
      {"not_equal", [](double a, double b) { return double(a != b); }},
      {"greater", [](double a, double b) { return double(a > b); }},
      {"greater_equal", [](double a, double b) { return double(a >= b); }},
      {"less", [](double a, double b) { return double(a < b); }},
      {"less_equal", [](double a, double b) { return double(a <= b); }},
      {"logical_and", [](double a, double b) { return double(a != 0 && b != 0); }},
      {"logical_or", [](double a, double b) { return double(a != 0 || b != 0); }},
      {"logical_xor", [](double a, double b) { return double((a != 0) != (b != 0)); }},
      {"floor_divide", [](double a, double b) { return std::floor(a / b); }}};
  const auto found = all.find(name);
  if (found == all.end())
    throw std::invalid_argument("there is no comparison \"" + name + "\"");
  return found->second;
}

template <class T> class CompareNode final : public Node<T> {
public:
  CompareNode(NodeLinks links, const std::string &operation)
      : Node<T>(std::move(links)), compare_(comparison(operation)) {}

  void plan(Run<T> &run) override {
    const Dims &a = this->input(run, 0).dims, &b = this->input(run, 1).dims;
    this->output(run).dims = broadcast_dims({a, b});
    walk_ = broadcast_shapes({this->output(run).dims, a, b});
  }

  void forward(Run<T> &run) override {
    const T *a = this->input(run, 0).data.data(), *b = this->input(run, 1).data.data();
    T *y = this->output(run).data.data();
    for_row_parts(walk_.rows(), walk_.row_size(), run.execution, [&](Index first, Index last) {
      for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
        for (Index i = 0; i < n; ++i)
          y[at[0] + i] = static_cast<T>(compare_(static_cast<double>(a[at[1] + i * step[1]]),
                                                 static_cast<double>(b[at[2] + i * step[2]])));
      });
    });
  }

  void backward(Run<T> &) override {}

private:
  Compared compare_;
  Broadcast walk_; // result, a, b
};

// inputs: condition, a, b: a where the condition is not 0
template <class T> class WhereNode final : public Node<T> {
public:
  using Node<T>::Node;

  void plan(Run<T> &run) override {
    std::vector<Dims> shapes;
    for (std::size_t i = 0; i < 3; ++i)
      shapes.push_back(this->input(run, i).dims);
    this->output(run).dims = broadcast_dims(shapes);
    shapes.insert(shapes.begin(), this->output(run).dims);
    walk_ = broadcast_shapes(shapes);
  }

  void forward(Run<T> &run) override {
    const T *condition = this->input(run, 0).data.data();
    const T *a = this->input(run, 1).data.data(), *b = this->input(run, 2).data.data();
    T *y = this->output(run).data.data();
    for_row_parts(walk_.rows(), walk_.row_size(), run.execution, [&](Index first, Index last) {
      for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
        for (Index i = 0; i < n; ++i)
          y[at[0] + i] = condition[at[1] + i * step[1]] != T(0) ? a[at[2] + i * step[2]]
                                                                : b[at[3] + i * step[3]];
      });
    });
  }

  void backward(Run<T> &run) override {
    const T *condition = this->input(run, 0).data.data();
    const T *d_y = this->output(run).gradient.data();
    for (const std::size_t side : {std::size_t(1), std::size_t(2)}) {
      const GradientPlace<T> to = this->input_gradient(run, side);
      if (to.data == nullptr)
        continue;
      // where a side broadcasts its gradient is a sum
      Buffer<double> sums(this->input(run, side).data.size(), 0.0);
      for_broadcast(walk_, [&](const Index *at, Index n, const Index *step) {
        for (Index i = 0; i < n; ++i)
          if ((condition[at[1] + i * step[1]] != T(0)) == (side == 1))
            sums[at[side + 1] + i * step[side + 1]] += static_cast<double>(d_y[at[0] + i]);
      });
      write_gradient(to, 0, sums.size(), [&](Index i) { return static_cast<T>(sums[i]); });
    }
  }

private:
  Broadcast walk_; // result, condition, a, b
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_compare_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<CompareNode<T>>(std::move(links), options.text("operation"));
}
template <class T>
std::unique_ptr<Node<T>> make_where_node(NodeLinks links, const NodeOptions &) {
  return std::make_unique<WhereNode<T>>(std::move(links));
}
ATTENTIVE_MAKER(make_compare_node)
ATTENTIVE_MAKER(make_where_node)

} // namespace attentive
