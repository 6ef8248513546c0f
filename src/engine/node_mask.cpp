// Masks that are computed in the program: from ids, and from other masks.
#include "broadcast.h"
#include "node_loops.h"

namespace attentive {
namespace {

template <class T> class MaskNode : public Node<T> {
public:
  using Node<T>::Node;
  void plan(Run<T> &run) override {
    for (int output : this->links().outputs)
      run.values[static_cast<std::size_t>(output)].dims = {0};
    target(run).dims = plan_mask(run);
  }
  void backward(Run<T> &) override {}

protected:
  virtual Dims plan_mask(Run<T> &run) = 0;
  MaskValue &target(Run<T> &run) const {
    return run.masks[static_cast<std::size_t>(this->links().mask_outputs[0])];
  }
};

template <class T> class TokenMaskNode final : public MaskNode<T> {
public:
  TokenMaskNode(NodeLinks links, double value)
      : MaskNode<T>(std::move(links)), value_(static_cast<T>(value)) {}

  void forward(Run<T> &run) override {
    const Value<T> &ids = this->input(run);
    MaskValue &mask = this->target(run);
    for (Index i = 0; i < ids.data.size(); ++i)
      mask.data[i] = ids.data[i] != value_;
  }

protected:
  Dims plan_mask(Run<T> &run) override { return this->input(run).dims; }

private:
  T value_;
};

// A step is real if one of its features differs from a number.
template <class T> class StepMaskNode final : public MaskNode<T> {
public:
  StepMaskNode(NodeLinks links, double value)
      : MaskNode<T>(std::move(links)), value_(static_cast<T>(value)) {}

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    MaskValue &mask = this->target(run);
    const Index features = x.dims.back();
    for (Index i = 0; i < mask.data.size(); ++i) {
      const T *row = x.data.data() + i * features;
      mask.data[i] = std::any_of(row, row + features, [this](T v) { return v != value_; });
    }
  }

protected:
  Dims plan_mask(Run<T> &run) override {
    const Dims &dims = this->input(run).dims;
    return Dims(dims.begin(), dims.end() - 1);
  }

private:
  T value_;
};

// The first two axes of a mask as one: see fold_steps.
template <class T> class MaskFoldNode final : public MaskNode<T> {
public:
  using MaskNode<T>::MaskNode;

  void forward(Run<T> &run) override {
    const MaskValue &from = *this->mask(run);
    std::copy_n(from.data.data(), from.data.size(), this->target(run).data.data());
  }

protected:
  Dims plan_mask(Run<T> &run) override {
    Dims dims = this->mask(run)->dims;
    if (dims.size() < 2)
      throw std::invalid_argument("there are no steps along the second axis of a mask");
    dims[1] *= dims[0];
    dims.erase(dims.begin());
    return dims;
  }
};

// OR, or AND, of masks whose shapes broadcast from the right.
template <class T> class MaskMergeNode final : public MaskNode<T> {
public:
  MaskMergeNode(NodeLinks links, bool either) : MaskNode<T>(std::move(links)), either_(either) {}

  void forward(Run<T> &run) override {
    MaskValue &result = this->target(run);
    std::fill_n(result.data.data(), result.data.size(), std::uint8_t(!either_));
    for (std::size_t k = 0; k < this->links().masks.size(); ++k) {
      const MaskValue &part = *this->mask(run, k);
      for_broadcast(broadcast_shapes({result.dims, part.dims}),
                    [&](const Index *at, Index n, const Index *step) {
                      std::uint8_t *to = result.data.data() + at[0];
                      const std::uint8_t *from = part.data.data() + at[1];
                      for (Index i = 0; i < n; ++i)
                        if ((from[i * step[1]] != 0) == either_)
                          to[i] = either_;
                    });
    }
  }

protected:
  Dims plan_mask(Run<T> &run) override {
    std::vector<Dims> shapes;
    for (std::size_t k = 0; k < this->links().masks.size(); ++k)
      shapes.push_back(this->mask(run, k)->dims);
    return broadcast_dims(shapes);
  }

private:
  bool either_;
};

// A mask as numbers, 1 = real.
template <class T> class MaskValueNode final : public Node<T> {
public:
  using Node<T>::Node;
  void plan(Run<T> &run) override { this->output(run).dims = this->mask(run)->dims; }
  void forward(Run<T> &run) override {
    const MaskValue &mask = *this->mask(run);
    std::copy_n(mask.data.data(), mask.data.size(), this->output(run).data.data());
  }
  void backward(Run<T> &) override {}
};

// The mask of a concatenation: along the features, a token is real if it is so
// in all parts; along another axis the masks stand one after the other.
template <class T> class MaskConcatenateNode final : public MaskNode<T> {
public:
  MaskConcatenateNode(NodeLinks links, double axis) : MaskNode<T>(std::move(links)), axis_(axis) {}

  void forward(Run<T> &run) override {
    MaskValue &result = this->target(run);
    std::fill_n(result.data.data(), result.data.size(), std::uint8_t(1));
    Index start = 0;
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k) {
      const MaskValue *part = this->mask(run, k);
      const Index size = along_features_ ? split_.size : this->input(run, k).dims[place_];
      for (Index outer = 0; outer < split_.outer && part != nullptr; ++outer)
        for (Index i = 0; i < size * split_.inner; ++i)
          result.data[(outer * split_.size + start) * split_.inner + i] &=
              part->data[outer * size * split_.inner + i];
      start += along_features_ ? 0 : size;
    }
  }

protected:
  Dims plan_mask(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    place_ = resolve_axis(axis_, dims);
    along_features_ = place_ + 1 == dims.size();
    for (std::size_t k = 1; k < this->links().inputs.size(); ++k)
      dims[place_] += this->input(run, k).dims[place_];
    dims.pop_back();
    split_ = split_at(dims, along_features_ ? 0 : place_);
    for (std::size_t k = 0; k < this->links().inputs.size(); ++k) {
      Dims expected = this->input(run, k).dims;
      expected.pop_back();
      if (this->mask(run, k) != nullptr && this->mask(run, k)->dims != expected)
        throw std::invalid_argument(
            "a mask must have the shape of its tensor without the last axis");
    }
    return dims;
  }

private:
  double axis_;
  std::size_t place_ = 0;
  bool along_features_ = false;
  AxisSplit split_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_token_mask_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<TokenMaskNode<T>>(std::move(links), options.number("value", 0));
}
template <class T>
std::unique_ptr<Node<T>> make_step_mask_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<StepMaskNode<T>>(std::move(links), options.number("value", 0));
}
template <class T>
std::unique_ptr<Node<T>> make_mask_fold_node(NodeLinks links, const NodeOptions &) {
  return std::make_unique<MaskFoldNode<T>>(std::move(links));
}
template <class T>
std::unique_ptr<Node<T>> make_mask_or_node(NodeLinks links, const NodeOptions &) {
  return std::make_unique<MaskMergeNode<T>>(std::move(links), true);
}
template <class T>
std::unique_ptr<Node<T>> make_mask_and_node(NodeLinks links, const NodeOptions &) {
  return std::make_unique<MaskMergeNode<T>>(std::move(links), false);
}
template <class T>
std::unique_ptr<Node<T>> make_mask_concatenate_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<MaskConcatenateNode<T>>(std::move(links), options.number("axis", -1));
}
template <class T>
std::unique_ptr<Node<T>> make_mask_value_node(NodeLinks links, const NodeOptions &) {
  return std::make_unique<MaskValueNode<T>>(std::move(links));
}
ATTENTIVE_MAKER(make_token_mask_node)
ATTENTIVE_MAKER(make_step_mask_node)
ATTENTIVE_MAKER(make_mask_fold_node)
ATTENTIVE_MAKER(make_mask_value_node)
ATTENTIVE_MAKER(make_mask_or_node)
ATTENTIVE_MAKER(make_mask_and_node)
ATTENTIVE_MAKER(make_mask_concatenate_node)

} // namespace attentive
