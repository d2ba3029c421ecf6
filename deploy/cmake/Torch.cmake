# tome_torch: LibTorch as the PyPI wheel ships it, unpacked under TOME_TORCH_DIR by deploy/setup.sh.
#
# Only libtorch_cpu and libc10 are linked. libtorch.so would bring libtorch_cuda.so and its 4 GB of CUDA
# libraries; libtorch_cpu itself needs of CUDA just libcudart and libcupti, which its own RPATH finds
# in the nvidia folder beside it.
#
# The wheel carries its own google/protobuf and fmt headers. Its include folders are searched after the
# system's, so that a protobuf or spdlog header never resolves into the wheel; all the same, Torch headers
# and theirs never meet in one source file.

if(TARGET tome_torch)
  return()
endif()

foreach(needed torch/lib/libtorch_cpu.so torch/lib/libc10.so torch/lib/libgomp.so.1 torch/include/ATen/core/Tensor.h nvidia)
  if(NOT EXISTS "${TOME_TORCH_DIR}/${needed}")
    message(FATAL_ERROR
            "LibTorch is not in TOME_TORCH_DIR (${TOME_TORCH_DIR}): ${needed} is missing. Run "
            "deploy/setup.sh, which unpacks the pinned wheel there, or point -DTOME_TORCH_DIR at the folder "
            "that holds torch/ and nvidia/, or build without it: -DTOME_BUILD_TORCH=OFF.")
  endif()
endforeach()

find_package(Threads REQUIRED)

add_library(tome_c10 SHARED IMPORTED)
set_target_properties(tome_c10 PROPERTIES IMPORTED_LOCATION "${TOME_TORCH_DIR}/torch/lib/libc10.so")

# The OpenMP runtime that Torch's threads belong to: whoever shares them links this one.
add_library(tome_gomp SHARED IMPORTED)
set_target_properties(tome_gomp PROPERTIES IMPORTED_LOCATION "${TOME_TORCH_DIR}/torch/lib/libgomp.so.1")

add_library(tome_torch SHARED IMPORTED)
set_target_properties(tome_torch PROPERTIES
                      IMPORTED_LOCATION "${TOME_TORCH_DIR}/torch/lib/libtorch_cpu.so")
# -idirafter, which CMake's SYSTEM does not offer, both comes last and silences their warnings.
target_compile_options(tome_torch INTERFACE
  "SHELL:-idirafter ${TOME_TORCH_DIR}/torch/include"
  "SHELL:-idirafter ${TOME_TORCH_DIR}/torch/include/torch/csrc/api/include")
# What libtorch_cpu needs beyond libc10 is found through its own RPATH when the program starts.
target_link_libraries(tome_torch INTERFACE tome_c10 Threads::Threads)
target_link_options(tome_torch INTERFACE "LINKER:--allow-shlib-undefined")
