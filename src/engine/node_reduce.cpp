// Sums, products, extremes and their places over some axes; sums along one.
#include <cmath>

#include "broadcast.h"
#include "node_loops.h"

namespace attentive {
namespace {

enum class Reduction { sum, mean, prod, max, min };

Reduction reduction_of(const std::string &name) {
  const std::map<std::string, Reduction> names = {{"sum", Reduction::sum},
                                                  {"mean", Reduction::mean},
                                                  {"prod", Reduction::prod},
                                                  {"max", Reduction::max},
                                                  {"min", Reduction::min}};
  const auto found = names.find(name);
  if (found == names.end())
    throw std::invalid_argument("there is no reduction \"" + name + "\"");
  return found->second;
}

double start_of(Reduction reduction) {
  switch (reduction) {
  case Reduction::prod:
    return 1;
  case Reduction::max:
    return -INFINITY;
  case Reduction::min:
    return INFINITY;
  default:
    return 0;
  }
}

double combine(Reduction reduction, double a, double b) {
  switch (reduction) {
  case Reduction::prod:
    return a * b;
  case Reduction::max:
    return b > a || b != b ? b : a;
  case Reduction::min:
    return b < a || b != b ? b : a;
  default:
    return a + b;
  }
}

// Each result is computed in the order of its numbers, in double precision.
template <class T> class ReduceNode final : public Node<T> {
public:
  ReduceNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), reduction_(reduction_of(options.text("operation"))),
        axes_(options.list("axes")), keepdims_(options.flag("keepdims")) {}

  void plan(Run<T> &run) override {
    const Dims dims = this->input(run).dims;
    Dims kept = dims, out;
    std::vector<bool> gone(dims.size(), false);
    for (double axis : axes_)
      gone[resolve_axis(axis, dims)] = true;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (gone[i])
        kept[i] = 1;
      if (keepdims_ || !gone[i])
        out.push_back(kept[i]);
    }
    this->output(run).dims = out;
    // axes before the first that goes are tasks of their own
    std::size_t lead = 0;
    while (lead < dims.size() && !gone[lead])
      ++lead;
    const auto inner = static_cast<std::ptrdiff_t>(lead);
    outer_ = count(Dims(dims.begin(), dims.begin() + inner));
    const Dims x(dims.begin() + inner, dims.end()), y(kept.begin() + inner, kept.end());
    x_size_ = count(x);
    y_size_ = count(y);
    walk_ = broadcast_shapes({x, y});
    numbers_ = y_size_ == 0 ? 0 : static_cast<double>(x_size_) / static_cast<double>(y_size_);
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for_row_parts(outer_, x_size_, run.execution, [&](Index first, Index last) {
      Buffer<double> sums(y_size_);
      for (Index part = first; part < last; ++part) {
        std::fill_n(sums.data(), y_size_, start_of(reduction_));
        const T *from = x + part * x_size_;
        walk(from, [&](Index place, T number) {
          sums[place] = combine(reduction_, sums[place], static_cast<double>(number));
        });
        for (Index i = 0; i < y_size_; ++i)
          y[part * y_size_ + i] =
              static_cast<T>(reduction_ == Reduction::mean ? sums[i] / numbers_ : sums[i]);
      }
    });
  }

  void backward(Run<T> &run) override {
    const GradientPlace<T> to = this->input_gradient(run);
    if (to.data == nullptr)
      return;
    const T *x = this->input(run).data.data(), *y = this->output(run).data.data();
    const T *d_y = this->output(run).gradient.data();
    for_row_parts(outer_, x_size_, run.execution, [&](Index first, Index last) {
      for (Index part = first; part < last; ++part)
        part_backward(x + part * x_size_, y + part * y_size_, d_y + part * y_size_,
                      {to.data + part * x_size_, to.accumulate});
    });
  }

private:
  // body(place of the result, number) for every number of one part, in order
  template <class Body> void walk(const T *x, const Body &body) const {
    for_broadcast(walk_, [&](const Index *at, Index n, const Index *step) {
      for (Index i = 0; i < n; ++i)
        body(at[1] + i * step[1], x[at[0] + i]);
    });
  }

  void part_backward(const T *x, const T *y, const T *d_y, GradientPlace<T> to) const {
    Index i = 0;
    const auto write = [&](T gradient) {
      to.data[i] = to.accumulate ? to.data[i] + gradient : gradient;
      ++i;
    };
    if (reduction_ == Reduction::sum || reduction_ == Reduction::mean) {
      const T factor = reduction_ == Reduction::mean ? static_cast<T>(1 / numbers_) : T(1);
      walk(x, [&](Index place, T) { write(d_y[place] * factor); });
      return;
    }
    // of an extreme: how many share it; of a product: how many are 0, and that of the others
    Buffer<double> counts(y_size_, 0.0), others(y_size_, 1.0);
    const bool product = reduction_ == Reduction::prod;
    walk(x, [&](Index place, T number) {
      counts[place] += static_cast<double>(product ? number == T(0) : number == y[place]);
      if (product && number != T(0))
        others[place] *= static_cast<double>(number);
    });
    walk(x, [&](Index place, T number) {
      double slope;
      if (!product)
        slope = number == y[place] ? 1 / counts[place] : 0;
      else if (counts[place] == 0)
        slope = others[place] / static_cast<double>(number);
      else
        slope = counts[place] == 1 && number == T(0) ? others[place] : 0;
      write(static_cast<T>(slope) * d_y[place]);
    });
  }

  Reduction reduction_;
  std::vector<double> axes_;
  bool keepdims_;
  Index outer_ = 0, x_size_ = 0, y_size_ = 0;
  double numbers_ = 0; // of one result
  Broadcast walk_;     // of one part: x, y
};

// x[outer, size, inner]: the place of the largest or smallest, the first of equals; or sums
// from the first number on.
enum class AlongAxis { argmax, argmin, cumsum };

template <class T> class AlongAxisNode final : public Node<T> {
public:
  AlongAxisNode(NodeLinks links, AlongAxis what, const NodeOptions &options)
      : Node<T>(std::move(links)), what_(what), axis_(options.number("axis", -1)),
        base_(static_cast<T>(options.number("base", 0))) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    const std::size_t axis = resolve_axis(axis_, dims);
    split_ = split_at(dims, axis);
    if (what_ != AlongAxis::cumsum) {
      if (split_.size == 0)
        throw std::invalid_argument("there is no largest or smallest of no numbers");
      dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
    }
    this->output(run).dims = dims;
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for_row_parts(lines(), split_.size, run.execution, [&](Index first, Index last) {
      for (Index line = first; line < last; ++line) {
        const T *from = x + start(line);
        if (what_ != AlongAxis::cumsum) {
          y[line] = static_cast<T>(place_of(from)) + base_;
          continue;
        }
        double sum = 0;
        for (Index i = 0; i < split_.size; ++i) {
          sum += static_cast<double>(from[i * split_.inner]);
          y[start(line) + i * split_.inner] = static_cast<T>(sum);
        }
      }
    });
  }

  void backward(Run<T> &run) override {
    if (what_ != AlongAxis::cumsum)
      return;
    const GradientPlace<T> to = this->input_gradient(run);
    if (to.data == nullptr)
      return;
    const T *d_y = this->output(run).gradient.data();
    for_row_parts(lines(), split_.size, run.execution, [&](Index first, Index last) {
      for (Index line = first; line < last; ++line) {
        double sum = 0;
        for (Index i = split_.size; i-- > 0;) {
          const Index at = start(line) + i * split_.inner;
          sum += static_cast<double>(d_y[at]);
          to.data[at] = static_cast<T>(sum) + (to.accumulate ? to.data[at] : T(0));
        }
      }
    });
  }

private:
  Index lines() const { return split_.outer * split_.inner; }
  Index start(Index line) const {
    return line / split_.inner * split_.size * split_.inner + line % split_.inner;
  }
  Index place_of(const T *x) const {
    Index best = 0;
    for (Index i = 1; i < split_.size; ++i) {
      const T number = x[i * split_.inner], held = x[best * split_.inner];
      const bool better = what_ == AlongAxis::argmax ? number > held : number < held;
      if (held == held && (better || number != number))
        best = i;
    }
    return best;
  }

  AlongAxis what_;
  double axis_;
  T base_;
  AxisSplit split_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_reduce_node(NodeLinks links, const NodeOptions &options) {
  const std::string name = options.text("operation");
  if (name == "argmax" || name == "argmin")
    return std::make_unique<AlongAxisNode<T>>(
        std::move(links), name == "argmax" ? AlongAxis::argmax : AlongAxis::argmin, options);
  return std::make_unique<ReduceNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_cumsum_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<AlongAxisNode<T>>(std::move(links), AlongAxis::cumsum, options);
}
ATTENTIVE_MAKER(make_reduce_node)
ATTENTIVE_MAKER(make_cumsum_node)

} // namespace attentive
