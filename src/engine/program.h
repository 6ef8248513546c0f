// A model as the engine runs it: nodes in order, the values between them, and
// what one step does with them. A program owns buffers but no weights, and
// keeps no address of one between calls.
#pragma once

#include "node.h"

namespace attentive {

struct ProgramNode {
  std::string op;
  NodeLinks links;
  NodeOptions options;
};

struct ProgramPlan {
  int values = 0, masks = 0, weights = 0; // how many there are
  std::vector<ProgramNode> nodes;         // in an order in which they can run
  std::vector<int> inputs, outputs;       // which values they are
  std::vector<int> output_masks;          // mask of each output or -1
  bool whole_batch = false;               // a node looks at the whole batch
};

template <class T> class Program {
public:
  using Number = T;

  explicit Program(const ProgramPlan &plan);

  Run<T> &run() { return run_; }
  const ProgramPlan &plan() const { return plan_; }

  // Plans all shapes for inputs of these dims; free where they are as before.
  void prepare(const std::vector<Dims> &inputs);
  Value<T> &input(std::size_t i) { return value(plan_.inputs[i]); }
  Value<T> &output(std::size_t i) { return value(plan_.outputs[i]); }
  // The mask of an output or null.
  MaskValue *output_mask(std::size_t i) {
    const int mask = plan_.output_masks.empty() ? -1 : plan_.output_masks[i];
    return mask < 0 ? nullptr : &run_.masks[static_cast<std::size_t>(mask)];
  }

  // Whether the samples of a batch may be computed apart: in copies of the
  // program, each for a part of the batch.
  bool separable() const;
  // A copy of the program, made when it is first asked for, with run()'s weights
  // and settings as they are here.
  Program &copy(std::size_t i);
  Program &copied(std::size_t i) { return *copies_[i]; }
  // What compute() gives for these dims and this number of rows, remembered.
  Index remembered(const std::vector<Dims> &dims, Index count,
                   const std::function<Index()> &compute);

  // Values of the inputs are filled in by the caller, run().weights set.
  void forward();
  // Forgets old gradients and finds out which values need new ones; then the
  // losses write the gradients of the outputs, then backward() passes them on.
  // The inputs' gradients are for tests and saliency, training has no use for them.
  void begin_backward(bool inputs_too = false);
  void backward();

private:
  Value<T> &value(int i) { return run_.values[static_cast<std::size_t>(i)]; }

  ProgramPlan plan_;
  std::vector<std::unique_ptr<Node<T>>> nodes_;
  std::vector<Dims> planned_;
  std::vector<std::unique_ptr<Program>> copies_;
  std::map<std::pair<std::vector<Dims>, Index>, Index> remembered_;
  Run<T> run_;
};

} // namespace attentive
