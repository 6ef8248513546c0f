// What the nodes of all attention layers share: sizes from shapes, masks of the
// program as one mask of the core, dropout, scores as a second output.
//
// Letters as in attention.h. Axes that are attended over come last, before the
// features; whoever builds the program transposes where they do not.
#pragma once

#include "attention.h"
#include "nodes.h"

namespace attentive {

// inputs query, value, key (the value again where there is none of its own);
// masks of query, value, key and attention; outputs the result and, with
// `scores`, the scores.
template <class T> class AttentionNode : public Node<T> {
public:
  // A mask that is written down for all elements cannot be cut with the batch.
  bool separable() const override { return !whole_batch_; }

protected:
  enum Input { kQuery, kValue, kKey };
  enum MaskPlace { kQueryMask, kValueMask, kKeyMask, kAttentionMask };
  enum class Scores { none, all, mean };

  AttentionNode(NodeLinks links, const NodeOptions &options);

  // Batch, free axes, queries and keys of shape_, and the dims of the scores;
  // the heads are set before.
  void plan_shape(Run<T> &run);
  // The output has the query's dims with the last one replaced.
  void plan_outputs(Run<T> &run, const std::vector<Index> &features);

  // The core's options for this run; what they point to lives until the next.
  // Backward they are those of the place in the batch where forward was, which
  // other nodes may have moved since.
  AttentionOptions forward_options(Run<T> &run, double scale = 1);
  AttentionOptions options(Run<T> &run, double scale = 1);

  // Where the core writes scores, all null where nobody asked for them; then
  // they are brought to the output.
  ScoreView score_view(Run<T> &run);
  void finish_scores(Run<T> &run);

  // What arrives at the output, zeros where only the scores have a gradient; it
  // may be used up.
  T *output_gradient(Run<T> &run);
  // What arrives at the scores of every head, or null.
  const T *scores_gradient(Run<T> &run);

  const T *data(Run<T> &run, Input i) const { return this->input(run, i).data.data(); }
  Index features(Run<T> &run, Input i) const { return this->input(run, i).dims.back(); }

  AttentionShape shape_;
  Scores scores_ = Scores::none;

private:
  // A mask of tokens [B, ...] as bytes [N, tokens]; null where there is none.
  const std::uint8_t *token_mask(Run<T> &run, MaskPlace place, Input of,
                                 Buffer<std::uint8_t> &copy) const;
  void read_attention_mask(Run<T> &run, Mask &mask);
  Index score_count() const;

  int attended_;           // axes
  std::vector<int> order_; // of a mask's axes, as those of the inputs were transposed
  bool causal_, whole_batch_;
  Index window_;
  Dropout dropout_;
  Index batch_offset_ = 0;

  Dims score_dims_; // [B, free ..., H, T ..., S ...]
  Buffer<std::uint8_t> query_bytes_, value_bytes_, key_bytes_, dense_bytes_;
  Buffer<double> written_scores_; // where T is not double
  Buffer<T> zeros_, spread_;
};

} // namespace attentive
