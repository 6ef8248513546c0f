// Multi-head and grouped-query attention as one node, projections inside.
#include "multi_head_attention.h"
#include "node_attention.h"
#include "regularizers.h"

namespace attentive {
namespace {

// weights: kernel and bias (or none) of query, key, gate (or none), value, output
template <class T> class MultiHeadNode final : public AttentionNode<T> {
  using Base = AttentionNode<T>;

public:
  MultiHeadNode(NodeLinks links, const NodeOptions &options) : Base(std::move(links), options) {
    const auto size = [&](const char *name, Index otherwise) {
      return static_cast<Index>(options.number(name, static_cast<double>(otherwise)));
    };
    AttentionShape &shape = this->shape_;
    shape.heads = size("heads", 1);
    shape.groups = size("groups", shape.heads);
    shape.key_size = size("key_size", 1);
    shape.value_size = size("value_size", shape.key_size);
    for (double features : options.list("output"))
      output_.push_back(static_cast<Index>(features));
    penalty_ = {options.number("l1", 0), options.number("l2", 0)};
  }

  void plan(Run<T> &run) override {
    this->plan_shape(run);
    sizes_.query_features = this->features(run, Base::kQuery);
    sizes_.value_features = this->features(run, Base::kValue);
    sizes_.key_features = this->features(run, Base::kKey);
    sizes_.attention = this->shape_;
    if (output_.empty())
      output_.push_back(sizes_.query_features);
    sizes_.output_features = count(output_);
    this->plan_outputs(run, output_);
  }

  // A penalty looks at the size of the batch.
  bool separable() const override { return Base::separable() && !penalizes(); }

  void forward(Run<T> &run) override {
    const ScoreView scores = this->score_view(run);
    multi_head_attention_forward<T>(sizes_, inputs(run), weights(run), this->forward_options(run),
                                    this->output(run).data.data(), scores, saved_, run.execution);
    this->finish_scores(run);
    if (penalizes())
      run.loss += activity_loss(this->output(run).data);
  }

  void backward(Run<T> &run) override {
    T *d_output = this->output_gradient(run);
    const T *d_scores = this->scores_gradient(run);
    for (std::size_t i = 0; i < kWeights; ++i)
      places_[i] = this->weight_gradient(run, i);
    MultiHeadInputGradients<T> d_inputs; // where the inputs are one tensor the three add up
    const GradientPlace<T> query = this->input_gradient(run, Base::kQuery);
    const GradientPlace<T> key = this->input_gradient(run, Base::kKey);
    const GradientPlace<T> value = this->input_gradient(run, Base::kValue);
    d_inputs = {query.data,       key.data,       value.data,
                query.accumulate, key.accumulate, value.accumulate};
    multi_head_attention_backward<T>(sizes_, inputs(run), weights(run), this->options(run),
                                     this->output(run).data.data(), saved_, d_output, d_scores,
                                     activity_gradient(), d_inputs, d_weights(run), run.execution);
    add_shared_weights();
  }

private:
  static constexpr std::size_t kWeights = 10;

  MultiHeadInputs<T> inputs(Run<T> &run) const {
    return {this->data(run, Base::kQuery), this->data(run, Base::kKey),
            this->data(run, Base::kValue)};
  }

  MultiHeadWeights<const T> weights(Run<T> &run) const {
    const auto dense = [&](std::size_t i) -> Dense<const T> {
      const Weight<T> *kernel = this->weight(run, i), *bias = this->weight(run, i + 1);
      return {kernel == nullptr ? nullptr : kernel->data, bias == nullptr ? nullptr : bias->data};
    };
    return {dense(0), dense(2), dense(4), dense(6), dense(8)};
  }

  // Gradients of weights that another use of the layer has written already go
  // into memory of their own first.
  MultiHeadWeights<T> d_weights(Run<T> &run) {
    const auto place = [&](std::size_t i) {
      if (!places_[i].accumulate)
        return places_[i].data;
      return fit(shared_[i], this->weight(run, i)->size);
    };
    const auto dense = [&](std::size_t i) -> Dense<T> { return {place(i), place(i + 1)}; };
    return {dense(0), dense(2), dense(4), dense(6), dense(8)};
  }

  void add_shared_weights() {
    for (std::size_t i = 0; i < kWeights; ++i)
      if (places_[i].accumulate)
        for (Index j = 0; j < shared_[i].size(); ++j)
          places_[i].data[j] += shared_[i][j];
  }

  bool penalizes() const { return penalty_.l1 != 0 || penalty_.l2 != 0; }

  // As Keras: the sum over the outputs of all projections, divided by the batch.
  double activity_loss(const Buffer<T> &output) const {
    if (this->shape_.batch == 0)
      return 0;
    double loss = 0;
    for (const Buffer<T> *part : {&saved_.q, &saved_.k, &saved_.gate, &saved_.v, &output})
      loss += penalty(penalty_, part->data(), part->size());
    return loss / static_cast<double>(this->shape_.batch);
  }

  ActivityGradient<T> activity_gradient() const {
    if (!penalizes() || this->shape_.batch == 0)
      return nullptr;
    const double upstream = 1 / static_cast<double>(this->shape_.batch);
    return [this, upstream](Part, const T *values, Index size, T *d_values) {
      penalty_backward(penalty_, values, size, upstream, d_values);
    };
  }

  MultiHeadSizes sizes_;
  Dims output_; // features
  ElementPenalty penalty_;
  MultiHeadSaved<T> saved_;
  GradientPlace<T> places_[kWeights];
  Buffer<T> shared_[kWeights];
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_multi_head_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<MultiHeadNode<T>>(std::move(links), options);
}

ATTENTIVE_MAKER(make_multi_head_node)

} // namespace attentive
