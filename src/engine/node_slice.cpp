// Parts of tensors: ranges of each axis, and chosen places of one axis.
#include "node_loops.h"
#include "node_sizes.h"

namespace attentive {
namespace {

// Of every axis `size` numbers from `start` on, `step` apart. All three are
// rules of sizes.
template <class T> class SliceNode final : public Node<T> {
public:
  SliceNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), starts_(options.list("starts")), steps_(options.list("steps")),
        sizes_(options.list("sizes")) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    const std::vector<Index> starts = sizes_of(starts_, run, this->links().inputs);
    const Dims sizes = sizes_of(sizes_, run, this->links().inputs);
    if (starts.size() != dims.size() || sizes.size() != dims.size() || steps_.size() != dims.size())
      throw std::invalid_argument("a slice has a start, a step and a size for every axis");
    strides_.assign(dims.size(), 0);
    start_ = 0;
    Index below = 1;
    for (std::size_t i = dims.size(); i-- > 0;) {
      const Index step = static_cast<Index>(steps_[i]), last = starts[i] + (sizes[i] - 1) * step;
      if (sizes[i] < 0 ||
          (sizes[i] > 0 && (starts[i] < 0 || starts[i] >= dims[i] || last < 0 || last >= dims[i])))
        throw std::invalid_argument("a slice reaches beyond an axis of size " +
                                    std::to_string(dims[i]));
      strides_[i] = step * below;
      start_ += starts[i] * below;
      below *= dims[i];
    }
    this->output(run).dims = sizes;
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for_rows(run, [&](Index from, Index to, Index n, Index stride) {
      for (Index i = 0; i < n; ++i)
        y[to + i] = x[from + i * stride];
    });
  }

  void backward(Run<T> &run) override {
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    if (!d_x.accumulate)
      std::fill_n(d_x.data, this->input(run).data.size(), T(0));
    const T *d_y = this->output(run).gradient.data();
    for_rows(run, [&](Index from, Index to, Index n, Index stride) {
      for (Index i = 0; i < n; ++i)
        d_x.data[from + i * stride] += d_y[to + i];
    });
  }

private:
  // body(place in x, place in y, numbers, their distance in x) for the rows of y
  template <class Body> void for_rows(Run<T> &run, const Body &body) const {
    const Dims &dims = this->output(run).dims;
    if (dims.empty())
      return body(0, 0, 1, 1);
    const Index n = dims.back(), rows = count(dims) / std::max<Index>(n, 1);
    for_row_parts(n == 0 ? 0 : rows, n, run.execution, [&](Index first, Index last) {
      for (Index row = first; row < last; ++row) {
        Index from = start_, rest = row;
        for (std::size_t i = dims.size() - 1; i-- > 0;) {
          from += rest % dims[i] * strides_[i];
          rest /= dims[i];
        }
        body(from, row * n, n, strides_.back());
      }
    });
  }

  std::vector<double> starts_, steps_, sizes_;
  std::vector<Index> strides_; // in x, of the axes of y
  Index start_ = 0;
};

// x[outer, size, inner], places[...] -> [outer, places..., inner]
template <class T> class TakeNode final : public Node<T> {
public:
  TakeNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), axis_(options.number("axis", -1)),
        base_(options.number("base", 0)) {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run, 0).dims, &places = this->input(run, 1).dims;
    const std::size_t axis = resolve_axis(axis_, dims);
    split_ = split_at(dims, axis);
    taken_ = count(places);
    const auto at = static_cast<std::ptrdiff_t>(axis);
    Dims out(dims.begin(), dims.begin() + at);
    out.insert(out.end(), places.begin(), places.end());
    out.insert(out.end(), dims.begin() + at + 1, dims.end());
    this->output(run).dims = out;
  }

  void forward(Run<T> &run) override {
    read_places(this->input(run, 1).data.data());
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    const Index inner = split_.inner;
    for_row_parts(split_.outer * taken_, inner, run.execution, [&](Index first, Index last) {
      for (Index row = first; row < last; ++row)
        std::copy_n(x + from(row), inner, y + row * inner);
    });
  }

  void backward(Run<T> &run) override {
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    if (!d_x.accumulate)
      std::fill_n(d_x.data, this->input(run).data.size(), T(0));
    const T *d_y = this->output(run).gradient.data();
    const Index inner = split_.inner;
    for (Index row = 0; row < split_.outer * taken_; ++row)
      for (Index i = 0; i < inner; ++i)
        d_x.data[from(row) + i] += d_y[row * inner + i];
  }

private:
  Index from(Index row) const {
    return (row / taken_ * split_.size + places_[static_cast<std::size_t>(row % taken_)]) *
           split_.inner;
  }

  // Negative places count from the end.
  void read_places(const T *numbers) {
    places_.clear();
    for (Index i = 0; i < taken_; ++i)
      places_.push_back(place_in(split_.size, static_cast<double>(numbers[i]), base_));
  }

  double axis_, base_;
  AxisSplit split_;
  Index taken_ = 0;
  std::vector<Index> places_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_slice_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<SliceNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_take_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<TakeNode<T>>(std::move(links), options);
}
ATTENTIVE_MAKER(make_slice_node)
ATTENTIVE_MAKER(make_take_node)

} // namespace attentive
