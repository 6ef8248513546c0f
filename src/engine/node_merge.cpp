// Arithmetic between tensors whose shapes broadcast.
#include <cmath>

#include "broadcast.h"
#include "kernels/table.h"
#include "node_loops.h"

namespace attentive {
namespace {

enum class Operation { add, subtract, multiply, divide, power, maximum, minimum, average };

Operation operation_of(const std::string &name) {
  const std::map<std::string, Operation> names = {
      {"add", Operation::add},           {"subtract", Operation::subtract},
      {"multiply", Operation::multiply}, {"divide", Operation::divide},
      {"power", Operation::power},       {"maximum", Operation::maximum},
      {"minimum", Operation::minimum},   {"average", Operation::average}};
  const auto found = names.find(name);
  if (found == names.end())
    throw std::invalid_argument("there is no operation \"" + name + "\"");
  return found->second;
}

template <class T> T apply(Operation operation, T a, T b) {
  switch (operation) {
  case Operation::subtract:
    return a - b;
  case Operation::multiply:
    return a * b;
  case Operation::divide:
    return a / b;
  case Operation::power:
    return std::pow(a, b);
  case Operation::maximum:
    return a > b || a != a ? a : b;
  case Operation::minimum:
    return a < b || a != a ? a : b;
  default:
    return a + b;
  }
}

// The gradients of apply(); at a tie both sides get half.
template <class T> T slope_a(Operation operation, T a, T b) {
  switch (operation) {
  case Operation::multiply:
    return b;
  case Operation::divide:
    return T(1) / b;
  case Operation::power:
    return b == 0 ? T(0) : b * std::pow(a, b - T(1));
  case Operation::maximum:
    return a == b ? T(0.5) : T(a > b);
  case Operation::minimum:
    return a == b ? T(0.5) : T(a < b);
  default:
    return 1;
  }
}
template <class T> T slope_b(Operation operation, T a, T b) {
  switch (operation) {
  case Operation::subtract:
    return -1;
  case Operation::multiply:
    return a;
  case Operation::divide:
    return -a / (b * b);
  case Operation::power:
    return a > 0 ? std::pow(a, b) * std::log(a) : T(0);
  case Operation::maximum:
  case Operation::minimum:
    return T(1) - slope_a(operation, a, b);
  default:
    return 1;
  }
}

// Merges are done from left to right, ((x0 op x1) op x2) ...; an average is a
// sum, divided.
template <class T> class MergeNode final : public Node<T> {
public:
  MergeNode(NodeLinks links, const std::string &operation, bool batch_first)
      : Node<T>(std::move(links)), operation_(operation_of(operation)), batch_first_(batch_first) {}

  void plan(Run<T> &run) override {
    const std::size_t parts = this->links().inputs.size();
    std::size_t rank = 0;
    shapes_.clear();
    for (std::size_t k = 0; k < parts; ++k) {
      shapes_.push_back(this->input(run, k).dims);
      rank = std::max(rank, shapes_[k].size());
    }
    for (Dims &shape : shapes_)
      if (batch_first_ && !shape.empty())
        shape.insert(shape.begin() + 1, rank - shape.size(), 1);
    const Dims common = broadcast_dims(shapes_);
    this->output(run).dims = common;
    same_ = std::all_of(shapes_.begin(), shapes_.end(),
                        [&](const Dims &shape) { return shape == common; });
    shapes_.insert(shapes_.begin(), common);
    walk_ = broadcast_shapes(shapes_);
  }

  void forward(Run<T> &run) override {
    T *y = this->output(run).data.data();
    const std::vector<const T *> x = data(run);
    if (adds_alike())
      return for_parts(this->output(run).data.size(), kElementsOfTask, run.execution,
                       [&](Index first, Index last) {
                         kernels<T>().rows.add(last - first, x[0] + first, x[1] + first, y + first);
                       });
    for_row_parts(walk_.rows(), walk_.row_size(), run.execution, [&](Index first, Index last) {
      for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
        T *to = y + at[0];
        for (Index i = 0; i < n; ++i) {
          T value = x[0][at[1] + i * step[1]];
          for (std::size_t k = 1; k < x.size(); ++k)
            value = apply(operation_, value, x[k][at[k + 1] + i * step[k + 1]]);
          to[i] = operation_ == Operation::average ? value / static_cast<T>(x.size()) : value;
        }
      });
    });
  }

  void backward(Run<T> &run) override {
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k) {
      const GradientPlace<T> d_x = this->input_gradient(run, k);
      if (d_x.data != nullptr && adds_alike())
        pass_gradient(this->output(run).gradient.data(), d_x, this->output(run).data.size(),
                      run.execution);
      else if (d_x.data != nullptr)
        input_backward(run, k, d_x);
    }
  }

private:
  // The common case of two tensors of one shape that are added.
  bool adds_alike() const { return same_ && operation_ == Operation::add && shapes_.size() == 3; }

  std::vector<const T *> data(Run<T> &run) const {
    std::vector<const T *> x;
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k)
      x.push_back(this->input(run, k).data.data());
    return x;
  }

  // d value / d x[k] where x[j] is the number that input j has there
  template <class X> T slope(const X &x, std::size_t k) const {
    const std::size_t parts = this->links().inputs.size();
    if (operation_ == Operation::average)
      return T(1) / static_cast<T>(parts);
    if (operation_ == Operation::add)
      return 1;
    T value = x(0), slope = 1;
    for (std::size_t j = 1; j < parts; ++j) {
      if (j == k)
        slope = slope_b(operation_, value, x(j));
      else if (j > k)
        slope *= slope_a(operation_, value, x(j));
      value = apply(operation_, value, x(j));
    }
    return slope;
  }

  void input_backward(Run<T> &run, std::size_t k, GradientPlace<T> d_x) {
    const T *d_y = this->output(run).gradient.data();
    const std::vector<const T *> x = data(run);
    const bool whole = shapes_[k + 1] == shapes_[0];
    Buffer<double> sums(whole ? 0 : this->input(run, k).data.size(), 0.0);
    const auto rows = [&](Index first, Index last) {
      for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
        const auto gradient = [&](Index i) {
          const auto numbers = [&](std::size_t j) { return x[j][at[j + 1] + i * step[j + 1]]; };
          return d_y[at[0] + i] * slope(numbers, k);
        };
        if (whole)
          write_gradient<T>({d_x.data + at[0], d_x.accumulate}, 0, n, gradient);
        else
          for (Index i = 0; i < n; ++i)
            sums[at[k + 1] + i * step[k + 1]] += static_cast<double>(gradient(i));
      });
    };
    if (whole)
      return for_row_parts(walk_.rows(), walk_.row_size(), run.execution, rows);
    rows(0, walk_.rows());
    write_gradient(d_x, 0, sums.size(), [&](Index i) { return static_cast<T>(sums[i]); });
  }

  Operation operation_;
  bool batch_first_, same_ = false;
  std::vector<Dims> shapes_; // the common shape, then those of the inputs, lined up
  Broadcast walk_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_binary_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<MergeNode<T>>(std::move(links), options.text("operation"), false);
}
template <class T>
std::unique_ptr<Node<T>> make_merge_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<MergeNode<T>>(std::move(links), options.text("operation"), true);
}
ATTENTIVE_MAKER(make_binary_node)
ATTENTIVE_MAKER(make_merge_node)

} // namespace attentive
