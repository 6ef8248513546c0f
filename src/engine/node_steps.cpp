// What works on the steps of x[B, T, ...]: pooling in windows, padding, and the
// steps as elements of a larger batch.
#include "node_loops.h"
#include "windows.h"

namespace attentive {
namespace {

// x[B, T, C] -> [B, T', C]
template <class T> class WindowPoolingNode final : public Node<T> {
public:
  WindowPoolingNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), windows_(Windows::read(options)),
        largest_(options.text("operation", "average") == "max") {}

  void plan(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    if (dims.size() != 3)
      throw std::invalid_argument("pooling takes [batch, steps, channels]");
    windows_.plan(dims[1]);
    channels_ = dims[2];
    this->output(run).dims = {dims[0], windows_.made, channels_};
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    for_windows(run, [&](Index b, Index t, Index begin, Index end) {
      T *to = y + (b * windows_.made + t) * channels_;
      for (Index c = 0; c < channels_; ++c) {
        const T *from = x + b * windows_.steps * channels_ + c;
        if (largest_)
          to[c] = from[top(from, begin, end) * channels_];
        else {
          double sum = 0;
          for (Index s = begin; s < end; ++s)
            sum += static_cast<double>(from[s * channels_]);
          to[c] = static_cast<T>(sum / static_cast<double>(end - begin));
        }
      }
    });
  }

  // The first of several maxima takes the gradient.
  void backward(Run<T> &run) override {
    const T *x = this->input(run).data.data(), *d_y = this->output(run).gradient.data();
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    if (!d_x.accumulate)
      std::fill_n(d_x.data, this->input(run).data.size(), T(0));
    for_windows(run, [&](Index b, Index t, Index begin, Index end) {
      const T *d = d_y + (b * windows_.made + t) * channels_;
      const Index sample = b * windows_.steps * channels_;
      for (Index c = 0; c < channels_; ++c) {
        T *to = d_x.data + sample + c;
        if (largest_)
          to[top(x + sample + c, begin, end) * channels_] += d[c];
        for (Index s = begin; s < end && !largest_; ++s)
          to[s * channels_] += d[c] / static_cast<T>(end - begin);
      }
    });
  }

private:
  // body(b, t, begin, end): the steps of x that step t of the result looks at.
  template <class Body> void for_windows(Run<T> &run, const Body &body) {
    for_row_parts(this->input(run).dims[0], windows_.made * windows_.taps * channels_,
                  run.execution, [&](Index first, Index last) {
                    for (Index b = first; b < last; ++b)
                      for (Index t = 0; t < windows_.made; ++t) {
                        const Index place = windows_.place(t, 0);
                        body(b, t, std::max<Index>(0, place),
                             std::min(windows_.steps, place + windows_.taps));
                      }
                  });
  }

  // Where the first maximum is; NaN counts as one.
  Index top(const T *from, Index begin, Index end) const {
    Index best = begin;
    for (Index s = begin + 1; s < end; ++s) {
      const T now = from[s * channels_], before = from[best * channels_];
      if (now > before || (now != now && before == before))
        best = s;
    }
    return best;
  }

  Windows windows_;
  bool largest_;
  Index channels_ = 0;
};

// Zeros before and after the steps; negative numbers cut steps off.
template <class T> class PadStepsNode final : public Node<T> {
public:
  PadStepsNode(NodeLinks links, const NodeOptions &options)
      : Node<T>(std::move(links)), before_(static_cast<Index>(options.number("before", 0))),
        after_(static_cast<Index>(options.number("after", 0))) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    if (dims.size() < 2 || dims[1] + before_ + after_ < 0)
      throw std::invalid_argument("the sequences are shorter than what is cut off");
    split_ = split_at(dims, 1);
    dims[1] += before_ + after_;
    this->output(run).dims = dims;
    made_ = dims[1];
    // the steps of x that are kept
    first_ = std::min(split_.size, std::max<Index>(0, -before_));
    last_ = std::max(first_, std::min(split_.size, split_.size + after_));
  }

  void forward(Run<T> &run) override {
    const T *x = this->input(run).data.data();
    T *y = this->output(run).data.data();
    std::fill_n(y, this->output(run).data.size(), T(0));
    for (Index b = 0; b < split_.outer; ++b)
      std::copy_n(x + kept_in_x(b), kept(), y + kept_in_y(b));
  }

  void backward(Run<T> &run) override {
    const T *d_y = this->output(run).gradient.data();
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data == nullptr)
      return;
    if (!d_x.accumulate)
      std::fill_n(d_x.data, this->input(run).data.size(), T(0));
    for (Index b = 0; b < split_.outer; ++b)
      for (Index i = 0; i < kept(); ++i)
        d_x.data[kept_in_x(b) + i] += d_y[kept_in_y(b) + i];
  }

private:
  Index kept() const { return (last_ - first_) * split_.inner; }
  Index kept_in_x(Index b) const { return (b * split_.size + first_) * split_.inner; }
  Index kept_in_y(Index b) const {
    return (b * made_ + std::max<Index>(0, before_)) * split_.inner;
  }

  Index before_, after_, made_ = 0, first_ = 0, last_ = 0;
  AxisSplit split_;
};

// x[B, T, ...] -> [B * T, ...], and the way back with the sizes of a second input.
// Between the two the elements of a batch are steps: dropout counts them.
template <class T> class FoldStepsNode final : public Node<T> {
public:
  FoldStepsNode(NodeLinks links, bool back) : Node<T>(std::move(links)), back_(back) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    const Dims &whole = back_ ? this->input(run, 1).dims : dims;
    if (whole.size() < 2 || dims.empty() || (back_ && dims[0] != whole[0] * whole[1]))
      throw std::invalid_argument("there are no steps along the second axis");
    steps_ = whole[1];
    Dims out = back_ ? Dims{whole[0], whole[1]} : Dims{whole[0] * whole[1]};
    out.insert(out.end(), dims.begin() + (back_ ? 1 : 2), dims.end());
    this->output(run).dims = out;
  }

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    if (steps_ > 0)
      run.batch_offset = back_ ? run.batch_offset / steps_ : run.batch_offset * steps_;
    pass_gradient<T>(x.data.data(), {this->output(run).data.data(), false}, x.data.size(),
                     run.execution);
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    pass_gradient(y.gradient.data(), this->input_gradient(run), y.data.size(), run.execution);
  }

private:
  bool back_;
  Index steps_ = 0;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_window_pooling_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<WindowPoolingNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_pad_steps_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<PadStepsNode<T>>(std::move(links), options);
}
template <class T>
std::unique_ptr<Node<T>> make_fold_steps_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<FoldStepsNode<T>>(std::move(links), options.flag("back"));
}
ATTENTIVE_MAKER(make_window_pooling_node)
ATTENTIVE_MAKER(make_pad_steps_node)
ATTENTIVE_MAKER(make_fold_steps_node)

} // namespace attentive
