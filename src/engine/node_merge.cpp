// Arithmetic between tensors whose shapes broadcast.
#include <cmath>
#include <type_traits>

#include "broadcast.h"
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

template <Operation kOperation> struct Chosen {
  static constexpr Operation operation = kOperation;
};

// body(Chosen<operation>()): the loops of each operation are compiled by themselves.
template <class Body> void with_operation(Operation operation, const Body &body) {
  switch (operation) {
  case Operation::subtract:
    return body(Chosen<Operation::subtract>());
  case Operation::multiply:
    return body(Chosen<Operation::multiply>());
  case Operation::divide:
    return body(Chosen<Operation::divide>());
  case Operation::power:
    return body(Chosen<Operation::power>());
  case Operation::maximum:
    return body(Chosen<Operation::maximum>());
  case Operation::minimum:
    return body(Chosen<Operation::minimum>());
  default:
    return body(Chosen<Operation::add>());
  }
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
    if (same_)
      for_parts(count(shapes_[0]), kElementsOfTask, run.execution, [&](Index first, Index last) {
        std::vector<const T *> from = x;
        for (const T *&start : from)
          start += first;
        combine(from, std::vector<Index>(x.size(), 1).data(), y + first, last - first);
      });
    else
      for_row_parts(walk_.rows(), walk_.row_size(), run.execution, [&](Index first, Index last) {
        std::vector<const T *> from = x;
        for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
          for (std::size_t k = 0; k < x.size(); ++k)
            from[k] = x[k] + at[k + 1];
          combine(from, step + 1, y + at[0], n);
        });
      });
  }

  void backward(Run<T> &run) override {
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k) {
      const GradientPlace<T> d_x = this->input_gradient(run, k);
      if (d_x.data == nullptr)
        continue;
      if (shapes_[k + 1] != shapes_[0])
        sum_gradient(run, k, d_x);
      else if (is_linear())
        scale_gradient(run, factor(k), d_x);
      else
        whole_gradient(run, k, d_x);
    }
  }

private:
  std::vector<const T *> data(Run<T> &run) const {
    std::vector<const T *> x;
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k)
      x.push_back(this->input(run, k).data.data());
    return x;
  }

  bool is_linear() const {
    return operation_ == Operation::add || operation_ == Operation::subtract ||
           operation_ == Operation::average;
  }
  // The slope of an operation that is linear.
  T factor(std::size_t k) const {
    return operation_ == Operation::average    ? T(1) / static_cast<T>(shapes_.size() - 1)
           : operation_ == Operation::subtract ? T(k == 0 ? 1 : -1)
                                               : T(1);
  }

  // One row of n numbers, those of input k step[k] apart.
  void combine(const std::vector<const T *> &x, const Index *step, T *y, Index n) const {
    const ElementwiseKernels<T> &loops = kernels<T>().elementwise;
    for (std::size_t k = 1; k < x.size(); ++k) {
      const T *a = k == 1 ? x[0] : y, *b = x[k];
      const Index a_step = k == 1 ? step[0] : 1, b_step = step[k];
      const bool sum = operation_ == Operation::add || operation_ == Operation::average;
      if (sum && a_step == 1 && b_step == 1)
        kernels<T>().rows.add(n, a, b, y);
      else if (operation_ == Operation::multiply && a_step == 1 && b_step == 1)
        loops.multiply(a, b, y, n, false);
      else
        with_operation(operation_, [&](auto chosen) {
          for (Index i = 0; i < n; ++i)
            y[i] = apply(decltype(chosen)::operation, a[i * a_step], b[i * b_step]);
        });
    }
    if (x.size() == 1)
      for (Index i = 0; i < n; ++i)
        y[i] = x[0][i * step[0]];
    if (operation_ == Operation::average)
      for (Index i = 0; i < n; ++i)
        y[i] /= static_cast<T>(x.size());
  }

  void scale_gradient(Run<T> &run, T factor, GradientPlace<T> d_x) const {
    const T *d_y = this->output(run).gradient.data();
    if (factor == T(1))
      return pass_gradient(d_y, d_x, count(shapes_[0]), run.execution);
    for_parts(count(shapes_[0]), kElementsOfTask, run.execution, [&](Index first, Index last) {
      kernels<T>().elementwise.scale(d_y + first, factor, d_x.data + first, last - first,
                                     d_x.accumulate);
    });
  }

  // d value / d x[k], x(j) being the number that input j has there.
  template <class X>
  static T slope(Operation operation, const X &x, std::size_t k, std::size_t parts) {
    T value = x(0), slope = 1;
    for (std::size_t j = 1; j < parts; ++j) {
      if (j == k)
        slope = slope_b(operation, value, x(j));
      else if (j > k)
        slope *= slope_a(operation, value, x(j));
      if (j + 1 < parts)
        value = apply(operation, value, x(j));
    }
    return slope;
  }

  // body(at, n, step, gradient) for rows of the result, gradient(i) being what
  // number i of the row gives to input k.
  template <class Body>
  void for_gradients(const T *d_y, const std::vector<const T *> &x, std::size_t k, Index first,
                     Index last, const Body &body) const {
    const auto rows = [&](auto operation) {
      const T linear = is_linear() ? factor(k) : T(1);
      const std::size_t parts = is_linear() ? 0 : x.size();
      for_broadcast(walk_, first, last, [&](const Index *at, Index n, const Index *step) {
        const T *g = d_y + at[0];
        if (parts == 0)
          return body(at, n, step, [=](Index i) { return g[i] * linear; });
        const T *a = x[0] + at[1], *b = x[1] + at[2];
        const Index a_step = step[1], b_step = step[2];
        if (parts == 2 && k == 0)
          return body(at, n, step, [=](Index i) {
            return g[i] * slope_a(operation, a[i * a_step], b[i * b_step]);
          });
        if (parts == 2)
          return body(at, n, step, [=](Index i) {
            return g[i] * slope_b(operation, a[i * a_step], b[i * b_step]);
          });
        body(at, n, step, [&](Index i) {
          const auto number = [&](std::size_t j) { return x[j][at[j + 1] + i * step[j + 1]]; };
          return g[i] * slope(operation, number, k, parts);
        });
      });
    };
    // products have loops of their own, all others ask at each number
    if (operation_ == Operation::multiply)
      rows(std::integral_constant<Operation, Operation::multiply>());
    else
      rows(operation_);
  }

  void whole_gradient(Run<T> &run, std::size_t k, GradientPlace<T> d_x) const {
    const T *d_y = this->output(run).gradient.data();
    const std::vector<const T *> x = data(run);
    const auto rows = [&](Index first, Index last) {
      for_gradients(d_y, x, k, first, last,
                    [&](const Index *at, Index n, const Index *, const auto &gradient) {
                      write_gradient<T>({d_x.data + at[0], d_x.accumulate}, 0, n, gradient);
                    });
    };
    if (same_ && operation_ == Operation::multiply && x.size() == 2)
      return for_parts(
          count(shapes_[0]), kElementsOfTask, run.execution, [&](Index first, Index last) {
            kernels<T>().elementwise.multiply(d_y + first, x[1 - k] + first, d_x.data + first,
                                              last - first, d_x.accumulate);
          });
    for_row_parts(walk_.rows(), walk_.row_size(), run.execution, rows);
  }

  // Where an input broadcasts, its gradient is summed, in the order of rows.
  void sum_gradient(Run<T> &run, std::size_t k, GradientPlace<T> d_x) const {
    Buffer<double> sums(this->input(run, k).data.size(), 0.0);
    for_gradients(this->output(run).gradient.data(), data(run), k, 0, walk_.rows(),
                  [&](const Index *at, Index n, const Index *step, const auto &gradient) {
                    double *to = sums.data() + at[k + 1];
                    const Index to_step = step[k + 1];
                    for (Index i = 0; i < n; ++i)
                      to[i * to_step] += static_cast<double>(gradient(i));
                  });
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
