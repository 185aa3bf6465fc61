// Tensors of torch, looked at where they are: what a call of a small layer has no time to ask of Python, one question at a time.
//
// torch hands out a table of C functions, as DLPack 1.3 describes it. One of them says in 40 ns where a tensor's numbers are and
// how they lie; each question to the tensor itself takes as long.
#include "bind_tensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <new>

#include "pool.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace seqloom;

namespace {

// What a tensor of torch is made of: numbers, and who is told when they are no longer needed.
struct managed {
    std::uint32_t major = 1, minor = 0;
    void* context = nullptr;
    void (*done)(managed*) = nullptr;
    std::uint64_t flags = 0;
    dlpack_tensor numbers;
};

// The first functions of the table, in the order that DLPack 1 has fixed.
struct exchange {
    std::uint32_t major, minor;
    exchange* older;
    void *allocate, *to_managed;
    int (*from_managed)(managed* tensor, PyObject** made);
    int (*look)(void* tensor, dlpack_tensor* seen);
};

// What is known of torch, from `know_torch` on.
PyTypeObject *tensor_type, *parameter_type;
PyObject* is_neg;
const exchange* table;

constexpr int most_axes = 8;

void know_torch(nb::handle tensor, nb::handle parameter) {
    const nb::object capsule = tensor.attr("__dlpack_c_exchange_api__");
    auto offered = static_cast<const exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
    if (offered == nullptr) throw nb::python_error();
    while (offered->major != 1 && offered->older != nullptr) offered = offered->older;
    if (offered->major != 1 || offered->look == nullptr || offered->from_managed == nullptr)
        throw std::invalid_argument("it hands out no functions of DLPack 1");
    table = offered;
    tensor_type = reinterpret_cast<PyTypeObject*>(tensor.inc_ref().ptr());
    parameter_type = reinterpret_cast<PyTypeObject*>(parameter.inc_ref().ptr());
    is_neg = PyUnicode_InternFromString("is_neg");
}

bool plain(nb::handle tensor) { return Py_TYPE(tensor.ptr()) == tensor_type || Py_TYPE(tensor.ptr()) == parameter_type; }

i64 count(const dlpack_tensor& seen) {
    i64 all = 1;
    for (int axis = 0; axis < seen.ndim; ++axis) all *= seen.shape[axis];
    return all;
}

}  // namespace

bool seqloom::look(nb::handle tensor, nb::dlpack::dtype kind, dlpack_tensor& seen) {
    if (!plain(tensor) && !PyObject_TypeCheck(tensor.ptr(), tensor_type)) return false;
    if (table->look(tensor.ptr(), &seen) != 0) {
        PyErr_Clear();  // sparse, without memory, on a device that DLPack does not know
        return false;
    }
    if (seen.device.device_type != nb::device::cpu::value || seen.dtype != kind) return false;
    return seen.data != nullptr || count(seen) == 0;  // torch keeps some zeros without memory
}

bool seqloom::find_place(nb::handle argument, nb::dlpack::dtype kind, void*& data, i64 (&steps)[2]) {
    if (argument.is_none()) return true;
    if (!PyTuple_CheckExact(argument.ptr())) {
        dlpack_tensor seen;
        if (!look(argument, kind, seen)) return false;
        data = first_number(seen);
        std::copy_n(seen.strides, std::min(seen.ndim, 2), steps);
        return true;
    }
    const Py_ssize_t given = PyTuple_GET_SIZE(argument.ptr());
    if (given < 1 || given > 3) return false;
    data = PyLong_AsVoidPtr(PyTuple_GET_ITEM(argument.ptr(), 0));
    for (Py_ssize_t axis = 1; axis < given; ++axis) steps[axis - 1] = PyLong_AsSsize_t(PyTuple_GET_ITEM(argument.ptr(), axis));
    const bool wrong = PyErr_Occurred() != nullptr;
    PyErr_Clear();
    return !wrong;
}

bool seqloom::negated(nb::handle tensor) {
    const nb::object told = nb::steal(PyObject_CallMethodNoArgs(tensor.ptr(), is_neg));
    if (!told.is_valid()) throw nb::python_error();
    return told.ptr() != Py_False;
}

bool seqloom::look_plainly(nb::handle tensor, dlpack_tensor& seen) {
    return plain(tensor) && look(tensor, nb::dtype<float>(), seen) && !negated(tensor);
}

namespace {

bool readable(const nb::args& tensors) {
    dlpack_tensor seen;
    for (const nb::handle tensor : tensors)
        if (!tensor.is_none() && !look_plainly(tensor, seen)) return false;
    return true;
}

// Whether the numbers lie in one piece, row after row or column after column (`columns`).
bool lie_close(const dlpack_tensor& seen, bool columns) {
    i64 next = 1;
    for (int number = 0; number < seen.ndim; ++number) {
        const int axis = columns ? number : seen.ndim - 1 - number;
        if (seen.shape[axis] != 1 && seen.strides[axis] != next) return false;
        next *= seen.shape[axis];
    }
    return true;
}

}  // namespace

bool seqloom::in_one_piece(const dlpack_tensor& seen) { return count(seen) == 0 || lie_close(seen, false); }

namespace {

// A tensor of ours. A large one has memory that is kept for the next one of its size, a small one's numbers follow it.
struct ours : managed {
    block* memory = nullptr;
    i64 axes[2 * most_axes];  // sizes, then strides
};

constexpr std::align_val_t aligned{static_cast<std::size_t>(lines)};

void give_back(managed* tensor) {
    ours* done = static_cast<ours*>(tensor);
    if (done->memory != nullptr) give_block(done->memory);
    done->~ours();
    ::operator delete(done, aligned);
}

}  // namespace

nb::object seqloom::empty(const i64* sizes, int axes, float*& numbers) {
    i64 bytes = sizeof(float);
    for (int axis = 0; axis < axes; ++axis) {
        // Beyond this, torch itself ends the process.
        if (sizes[axis] < 0 || (sizes[axis] > 0 && bytes > std::numeric_limits<i64>::max() / 2 / sizes[axis])) throw std::bad_alloc();
        bytes *= sizes[axis];
    }
    constexpr std::size_t head = (sizeof(ours) + lines - 1) / lines * lines;
    const bool large = bytes >= worth_pooling;
    char* from = static_cast<char*>(::operator new(head + (large ? 0 : static_cast<std::size_t>(bytes)), aligned));
    std::unique_ptr<managed, decltype(&give_back)> made(new (from) ours, &give_back);
    ours& tensor = static_cast<ours&>(*made);
    if (large) tensor.memory = take_block(bytes);
    i64 stride = 1;
    for (int axis = axes - 1; axis >= 0; --axis) {
        tensor.axes[axis] = sizes[axis];
        tensor.axes[axes + axis] = stride;
        stride *= std::max<i64>(1, sizes[axis]);
    }
    tensor.done = &give_back;
    numbers = reinterpret_cast<float*>(large ? static_cast<char*>(tensor.memory->data) : from + head);
    tensor.numbers = {numbers, {nb::device::cpu::value, 0}, axes, nb::dtype<float>(), tensor.axes, tensor.axes + axes, 0};
    PyObject* object = nullptr;
    if (table->from_managed(made.release(), &object) != 0) throw nb::python_error();  // torch has it, whatever becomes of it
    return nb::steal(object);
}

nb::list seqloom::empty_like(const nb::tuple& tensors, const nb::tuple& wanted, float** numbers) {
    nb::list made;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        dlpack_tensor seen;
        const nb::handle tensor = tensors[i];
        numbers[i] = nullptr;
        if (tensor.is_none() || PyObject_IsTrue(wanted[i].ptr()) != 1) made.append(nb::none());
        else if (look(tensor, nb::dtype<float>(), seen) && seen.ndim <= most_axes) made.append(empty(seen.shape, seen.ndim, numbers[i]));
        else throw nb::type_error("not all that is wanted are tensors of float32 on the CPU, of 8 axes at most");
    }
    return made;
}

namespace {

nb::object empty_of_shape(const nb::args& shape) {
    if (shape.size() > most_axes) throw std::invalid_argument("too many axes");
    i64 sizes[most_axes];
    for (std::size_t axis = 0; axis < shape.size(); ++axis) sizes[axis] = nb::cast<i64>(shape[axis]);
    float* numbers;
    return empty(sizes, static_cast<int>(shape.size()), numbers);
}

// Where and how the numbers of `weights` lie, and hashes of those and of the numbers of `others`; None where one cannot be told by
// its numbers. Each as bytes, which are compared and looked up faster than tuples of numbers.
nb::object stamp(const nb::tuple& weights, const nb::tuple& others) {
    constexpr std::size_t most = 8;
    std::array<i64, 5 * most> places;
    std::array<std::uint64_t, 2 * most> hashes{};
    std::size_t placed = 0, hashed = 0;
    const kernels& level = active();
    if (weights.size() > most || others.size() > most) throw std::invalid_argument("too many tensors to be told by their numbers");
    for (const nb::tuple* tensors : {&weights, &others})
        for (const nb::handle tensor : *tensors) {
            std::uint64_t& hash = hashes[hashed++];
            if (tensor.is_none()) continue;
            dlpack_tensor seen;
            if (!look(tensor, nb::dtype<float>(), seen) || seen.ndim > 2) return nb::none();
            if (!in_one_piece(seen) && !(seen.ndim == 2 && lie_close(seen, true))) return nb::none();
            hash = level.fingerprint(first_number(seen), count(seen) * static_cast<i64>(sizeof(float)));
            if (tensors == &others) continue;
            places[placed++] = reinterpret_cast<i64>(first_number(seen));
            for (int axis = 0; axis < 2; ++axis) {
                places[placed++] = axis < seen.ndim ? seen.shape[axis] : 0;
                places[placed++] = axis < seen.ndim ? seen.strides[axis] : 0;
            }
        }
    return nb::make_tuple(nb::bytes(places.data(), placed * sizeof(i64)), nb::bytes(hashes.data(), hashed * sizeof(std::uint64_t)));
}

}  // namespace

nb::object seqloom::step(const recurrent<float>& loops, const packed<float>& weights, i64 input_size, i64 hidden_size, nb::handle x,
                         int threads, nb::handle hidden, nb::handle cell) {
    dlpack_tensor read, state, memory;
    const bool has_cell = !cell.is_none();
    const auto is_state = [&](nb::handle path, dlpack_tensor& seen) {
        return look(path, nb::dtype<float>(), seen) && seen.ndim == 2 && seen.shape[1] == hidden_size && in_one_piece(seen);
    };
    if (!is_state(hidden, state) || (has_cell && !(is_state(cell, memory) && memory.shape[0] == state.shape[0])))
        throw nb::type_error("this is no state of the layer");
    const i64 batch = state.shape[0];
    const bool ready = look_plainly(x, read) && read.ndim == 2 && read.shape[0] == batch && read.shape[1] == input_size &&
                       (input_size == 1 || read.strides[1] == 1);
    if (!ready) return nb::none();
    float* written;
    nb::object outputs = empty(state.shape, 2, written);
    const std::vector<i64> lengths(static_cast<std::size_t>(batch), 1);
    const auto rows = [&](const dlpack_tensor& of) { return rows_of<float>{reinterpret_cast<float*>(first_number(of)), hidden_size}; };
    const rows_of<float> now = rows(state), cell_now = has_cell ? rows(memory) : rows_of<float>();
    nb::gil_scoped_release unlocked;
    loops.forward(weights,
                  {batch, 1, lengths.data(), false, threads,
                   {reinterpret_cast<const float*>(first_number(read)), read.strides[0], 0}, {}, {},
                   {now.data, now.row}, {cell_now.data, cell_now.row}, {}},
                  {{written, hidden_size, 0}, now, cell_now, nullptr, nullptr});
    return outputs;
}

void add_tensors(nb::module_& module) {
    module.def("know_torch", &know_torch, "tensor"_a, "parameter"_a, "Learn how to look at tensors, before anything below is called.");
    module.def("readable", &readable, "tensors"_a,
               "Whether the numbers of all, but None, can be read: plain tensors of float32 on the CPU.");
    module.def("empty", &empty_of_shape, "shape"_a,
               "A tensor of this shape, not set; a large one in memory that is kept for the next one.");
    module.def("stamp", &stamp, "weights"_a, "others"_a,
               "Where the weights lie and hashes of the numbers of all; None where they cannot be told by them.");
}
