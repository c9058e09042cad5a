// Training on NumPy arrays that hotloops.nn has prepared: of one dtype, contiguous, of fitting
// sizes. Other arrays are refused, not converted.

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/gil.h"
#include "bindings/initialized.h"
#include "bindings/names.h"
#include "dispatch.h"
#include "neuron.h"
#include "threads.h"
#include "training.h"

namespace py = pybind11;

namespace hotloops {
namespace {

// Asks for signals now and then, from a loop without the GIL.
Poll poll_signals(WithoutGil& without_gil) {
  return Poll([&without_gil] {
    without_gil.with_gil([] {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    });
  });
}

// The values of an array of `size` elements, which has to be contiguous.
void* contiguous(const char* name, const py::array& array, const py::dtype& dtype,
                 std::int64_t size) {
  if ((array.flags() & py::array::c_style) == 0 || !array.dtype().equal(dtype) ||
      array.size() != size) {
    throw std::invalid_argument(std::string(name) + ": a contiguous array of " +
                                std::to_string(size) + " elements of " +
                                py::str(dtype).cast<std::string>() + " is needed");
  }
  return const_cast<void*>(array.data());
}

void* writable(const char* name, const py::array& array, const py::dtype& dtype,
               std::int64_t size) {
  if (!array.writeable()) throw std::invalid_argument(std::string(name) + ": is read-only");
  return contiguous(name, array, dtype, size);
}

template <class Value, std::size_t Count>
Value named(const char* argument, std::string_view name,
            const std::pair<std::string_view, Value> (&table)[Count]) {
  for (const auto& [known, value] : table) {
    if (known == name) return value;
  }
  std::string message = std::string(argument) + " is '" + std::string(name) + "' but must be";
  const char* separator = " '";
  for (const auto& [known, value] : table) {
    message += separator + std::string(known) + "'";
    separator = ", '";
  }
  throw std::invalid_argument(message);
}

Loss loss_named(std::string_view name) {
  static constexpr std::pair<std::string_view, Loss> kNames[] = {
      {"mse", Loss::mse},
      {"binary_crossentropy", Loss::binary_crossentropy},
      {"categorical_crossentropy", Loss::categorical_crossentropy},
      {"sparse_categorical_crossentropy", Loss::sparse_categorical_crossentropy}};
  return named("loss", name, kNames);
}

Rule rule_named(std::string_view name) {
  static constexpr std::pair<std::string_view, Rule> kNames[] = {{"sgd", Rule::sgd},
                                                                 {"momentum", Rule::momentum},
                                                                 {"nesterov", Rule::nesterov},
                                                                 {"adam", Rule::adam}};
  return named("rule", name, kNames);
}

Layer make_layer(std::int64_t inputs, std::int64_t units, const py::object& activation,
                 bool has_kernel, bool has_bias) {
  if (inputs < 1 || units < 1 || (!has_kernel && (has_bias || units != inputs))) {
    throw std::invalid_argument("Layer: no such layer");
  }
  return {.inputs = inputs,
          .units = units,
          .activation = activation_named("Layer", activation),
          .has_kernel = has_kernel,
          .has_bias = has_bias};
}

// A Trainer with the arrays whose memory it reads.
class Training {
 public:
  Training(const std::vector<Layer>& layers, const std::string& loss, py::array x, py::array y,
           std::int64_t batch_size)
      : x_(std::move(x)),
        y_(std::move(y)),
        dtype_(dtype_of(x_)),
        parameters_(checked_parameter_count(layers)),
        trainer_(dtype_, layers, loss_named(loss), samples(layers, loss_named(loss)),
                 checked(batch_size)) {}

  std::pair<double, double> evaluate(const py::array& parameters) {
    const void* data = contiguous("parameters", parameters, x_.dtype(), parameters_);
    WithoutGil without_gil;
    Poll poll = poll_signals(without_gil);
    const Score score = trainer_.evaluate(data, poll);
    return {score.loss, score.hits};
  }

  // The mean losses and the accuracies of the epochs.
  std::pair<std::vector<double>, std::vector<double>> train(
      const Optimizer& optimizer, const py::array& parameters, const std::vector<py::array>& slots,
      TrainingState& state, std::int64_t epochs, double seconds, bool shuffle) {
    void* data = writable("parameters", parameters, x_.dtype(), parameters_);
    const auto count = static_cast<std::size_t>(slots_of(optimizer.rule));
    if (slots.size() != count) throw std::invalid_argument("slots: not as many as the rule has");
    void* slot_data[kMaxSlots] = {};
    for (std::size_t s = 0; s < count; ++s) {
      slot_data[s] = writable("slots", slots[s], x_.dtype(), parameters_);
    }
    std::pair<std::vector<double>, std::vector<double>> result;
    WithoutGil without_gil;
    Poll poll = poll_signals(without_gil);
    for (const Score& score :
         trainer_.train(optimizer, data, slot_data, state,
                        {.epochs = epochs, .seconds = seconds, .shuffle = shuffle}, poll)) {
      result.first.push_back(score.loss);
      result.second.push_back(score.hits);
    }
    return result;
  }

 private:
  static DType dtype_of(const py::array& x) {
    if (x.dtype().equal(py::dtype::of<float>())) return DType::f32;
    if (x.dtype().equal(py::dtype::of<double>())) return DType::f64;
    throw std::invalid_argument("x: float32 or float64 is needed");
  }

  static std::int64_t checked_parameter_count(const std::vector<Layer>& layers) {
    if (layers.empty()) throw std::invalid_argument("layers: at least one is needed");
    for (std::size_t l = 1; l < layers.size(); ++l) {
      if (layers[l].inputs != layers[l - 1].units) {
        throw std::invalid_argument(
            "layers: a layer's inputs are not as many as the outputs of "
            "the one before");
      }
    }
    return parameter_count(layers);
  }

  static std::int64_t checked(std::int64_t batch_size) {
    if (batch_size < 1) throw std::invalid_argument("batch_size: at least 1 is needed");
    return batch_size;
  }

  [[nodiscard]] Samples samples(const std::vector<Layer>& layers, Loss loss) const {
    const std::int64_t count = x_.ndim() == 2 ? x_.shape(0) : 0;
    if (count == 0) throw std::invalid_argument("x: rows of samples are needed");
    const std::int64_t units = layers.back().units;
    const bool sparse = loss == Loss::sparse_categorical_crossentropy;
    const void* y = sparse ? contiguous("y", y_, py::dtype::of<std::int64_t>(), count)
                           : contiguous("y", y_, x_.dtype(), count * units);
    if (sparse) {
      const auto* labels = static_cast<const std::int64_t*>(y);
      for (std::int64_t i = 0; i < count; ++i) {
        if (labels[i] < 0 || labels[i] >= units) {
          throw std::invalid_argument("y has the class " + std::to_string(labels[i]) +
                                      " but the classes of " + std::to_string(units) +
                                      " outputs are 0 to " + std::to_string(units - 1));
        }
      }
    }
    return {.count = count,
            .x = contiguous("x", x_, x_.dtype(), count * layers.front().inputs),
            .y = y};
  }

  py::array x_;
  py::array y_;
  DType dtype_;
  std::int64_t parameters_;
  Trainer trainer_;
};

void train_neuron_arrays(const py::array& x, const py::array& targets, const py::array& weights,
                         std::int64_t iterations, bool classic) {
  const auto dtype = py::dtype::of<double>();
  if (x.ndim() != 2) throw std::invalid_argument("x: rows of samples are needed");
  const NeuronSamples samples{
      .count = x.shape(0),
      .inputs = x.shape(1),
      .x = static_cast<const double*>(contiguous("x", x, dtype, x.size())),
      .targets = static_cast<const double*>(contiguous("targets", targets, dtype, x.shape(0)))};
  auto* w = static_cast<double*>(writable("weights", weights, dtype, x.shape(1)));
  WithoutGil without_gil;
  Poll poll = poll_signals(without_gil);
  train_neuron(active_kernels(), samples, classic ? Slope::classic : Slope::of_tanh, iterations, w,
               poll, num_threads());
}

}  // namespace

void register_training(py::module_& m) {
  py::class_<Layer> layer(m, "Layer", "A dense layer, or an activation alone.");
  refuse_uninitialized(layer);
  layer.def(py::init(&make_layer), py::arg("inputs"), py::arg("units"), py::arg("activation"),
            py::arg("has_kernel"), py::arg("has_bias"));

  py::class_<Optimizer> optimizer(m, "Optimizer",
                                  "A rule of how to update parameters, with its numbers.");
  refuse_uninitialized(optimizer);
  optimizer
      .def(py::init([](const std::string& rule, double learning_rate, double momentum, double beta1,
                       double beta2, double epsilon) {
             return Optimizer{.rule = rule_named(rule),
                              .learning_rate = learning_rate,
                              .momentum = momentum,
                              .beta1 = beta1,
                              .beta2 = beta2,
                              .epsilon = epsilon};
           }),
           py::arg("rule"), py::arg("learning_rate"), py::arg("momentum") = 0.0,
           py::arg("beta1") = 0.0, py::arg("beta2") = 0.0, py::arg("epsilon") = 0.0)
      .def_property_readonly("slots", [](const Optimizer& o) { return slots_of(o.rule); });

  py::class_<TrainingState> state(m, "TrainingState",
                                  "What training needs to go on where it stopped.");
  refuse_uninitialized(state);
  state.def(py::init<std::int64_t, std::uint64_t>(), py::arg("steps"), py::arg("shuffle"))
      .def_readonly("steps", &TrainingState::steps)
      .def_readonly("shuffle", &TrainingState::shuffle);

  py::class_<Training> training(m, "Training", "Layers, a loss and samples, in batches.");
  refuse_uninitialized(training);
  training
      .def(py::init<const std::vector<Layer>&, const std::string&, py::array, py::array,
                    std::int64_t>(),
           py::arg("layers"), py::arg("loss"), py::arg("x"), py::arg("y"), py::arg("batch_size"))
      .def("evaluate", &Training::evaluate, py::arg("parameters"),
           "Return the mean loss and the accuracy.")
      .def("train", &Training::train, py::arg("optimizer"), py::arg("parameters"), py::arg("slots"),
           py::arg("state"), py::arg("epochs"), py::arg("seconds"), py::arg("shuffle"),
           "Train; return the mean losses and the accuracies of the epochs.");

  m.def("train_neuron", &train_neuron_arrays, py::arg("x"), py::arg("targets"), py::arg("weights"),
        py::arg("iterations"), py::arg("classic"));
}

}  // namespace hotloops
