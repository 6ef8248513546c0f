// Attention without projections as nodes: dot products or sums of tanh.
#include "additive_attention.h"
#include "dot_attention.h"
#include "node_attention.h"

namespace attentive {
namespace {

// weights: scale[K], inside, outside (each or none), see AdditiveScore; a dot
// product has only the last, its scale
template <class T> class PlainNode final : public AttentionNode<T> {
  using Base = AttentionNode<T>;

public:
  PlainNode(NodeLinks links, const NodeOptions &options, bool dot)
      : Base(std::move(links), options), dot_(dot) {
    this->shape_.heads = this->shape_.groups = 1;
    if (this->scores_ == Base::Scores::all) // one head: no axis of heads
      this->scores_ = Base::Scores::mean;
  }

  void plan(Run<T> &run) override {
    this->plan_shape(run);
    this->shape_.key_size = this->features(run, Base::kQuery);
    this->shape_.value_size = this->features(run, Base::kValue);
    if (this->features(run, Base::kKey) != this->shape_.key_size)
      throw std::invalid_argument("query and key must have the same number of features");
    this->plan_outputs(run, {this->shape_.value_size});
  }

  void forward(Run<T> &run) override {
    const ScoreView scores = this->score_view(run);
    const AdditiveScore<T> score = this->score(run);
    const AttentionOptions options = this->forward_options(run, static_cast<double>(score.outside));
    T *output = this->output(run).data.data();
    if (dot_)
      dot_attention_forward<T>(this->shape_, inputs(run), options, output, scores, run.execution);
    else
      additive_attention_forward<T>(this->shape_, inputs(run), score, options, output, scores,
                                    run.execution);
    this->finish_scores(run);
  }

  void backward(Run<T> &run) override {
    const AdditiveScore<T> score = this->score(run);
    const AttentionOptions options = this->options(run, static_cast<double>(score.outside));
    const T *d_output = this->output_gradient(run), *d_scores = this->scores_gradient(run);
    const PlainGradients<T> d = {room(run, Base::kQuery), room(run, Base::kKey),
                                 room(run, Base::kValue)};
    T *d_scale = fit(d_scale_, this->weight(run, kScale) == nullptr ? 0 : this->shape_.key_size);
    T d_inside = 0, d_outside = 0;
    const GradientPlace<T> outside = this->weight_gradient(run, kOutside);
    if (dot_)
      dot_attention_backward<T>(this->shape_, inputs(run), options, d_output, d_scores, d,
                                outside.data == nullptr ? nullptr : &d_outside, run.execution);
    else
      additive_attention_backward<T>(this->shape_, inputs(run), score, options, d_output, d_scores,
                                     d, {d_scale, &d_inside, &d_outside}, run.execution);
    for (int i = 0; i < 3; ++i)
      deliver(this->input_gradient(run, static_cast<std::size_t>(i)), d_inputs_[i].data(),
              d_inputs_[i].size());
    deliver(this->weight_gradient(run, kScale), d_scale, d_scale_.size());
    deliver(this->weight_gradient(run, kInside), &d_inside, 1);
    deliver(outside, &d_outside, 1);
  }

private:
  enum WeightPlace { kScale, kInside, kOutside };

  PlainInputs<T> inputs(Run<T> &run) const {
    return {this->data(run, Base::kQuery), this->data(run, Base::kKey),
            this->data(run, Base::kValue)};
  }

  AdditiveScore<T> score(Run<T> &run) const {
    const Weight<T> *scale = this->weight(run, kScale), *inside = this->weight(run, kInside);
    const Weight<T> *outside = this->weight(run, kOutside);
    return {scale == nullptr ? nullptr : scale->data, inside == nullptr ? T(1) : inside->data[0],
            outside == nullptr ? T(1) : outside->data[0]};
  }

  T *room(Run<T> &run, typename Base::Input i) {
    return fit(d_inputs_[i], this->input(run, i).data.size());
  }

  // Written, or added to what is there; not at all where nobody wants it.
  static void deliver(const GradientPlace<T> &place, const T *from, Index size) {
    if (place.data == nullptr)
      return;
    for (Index i = 0; i < size; ++i)
      place.data[i] = place.accumulate ? place.data[i] + from[i] : from[i];
  }

  const bool dot_;
  Buffer<T> d_inputs_[3], d_scale_;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_dot_attention_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<PlainNode<T>>(std::move(links), options, true);
}

template <class T>
std::unique_ptr<Node<T>> make_additive_attention_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<PlainNode<T>>(std::move(links), options, false);
}

ATTENTIVE_MAKER(make_dot_attention_node)
ATTENTIVE_MAKER(make_additive_attention_node)

} // namespace attentive
