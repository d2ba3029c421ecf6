# Finds CUDA: a toolkit (nvcc on PATH or under CUDA_PATH), or what deploy/setup.sh --cuda unpacked into .deps/cuda.
# Sets TOME_CUDA, whether this build compiles for GPUs, and then
#   tome_cudart, tome_cublaslt   the two libraries that libtome_cuda.so links
# sm_80 (A100), sm_90 (H100), and PTX of the latter for what comes later.
#
# CMake 3.25's FindCUDAToolkit fails with CUDA 13 (it expects the nvToolsExt library, which is gone), and knows no
# -std=c++20 for nvcc.

set(TOME_BUILD_CUDA AUTO CACHE STRING "Build the CUDA engine: ON, OFF, or AUTO (where nvcc is found)")
set_property(CACHE TOME_BUILD_CUDA PROPERTY STRINGS AUTO ON OFF)
set(TOME_CUDA OFF)
if(TOME_BUILD_CUDA STREQUAL "OFF")
  return()
endif()

set(TOME_CUDA_PACKAGES "${PROJECT_SOURCE_DIR}/.deps/cuda/nvidia/cu13")
find_program(TOME_NVCC nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin PATHS "${TOME_CUDA_PACKAGES}/bin")
if(NOT TOME_NVCC)
  if(NOT TOME_BUILD_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "TOME_BUILD_CUDA is ON and there is no nvcc on PATH, under CUDA_PATH or in .deps/cuda. "
                        "Run deploy/setup.sh --cuda, or set CUDA_PATH to a CUDA 13 toolkit.")
  endif()
  message(STATUS "No nvcc: the CUDA engine is not built (deploy/setup.sh --cuda installs one)")
  return()
endif()

get_filename_component(nvcc_folder "${TOME_NVCC}" REALPATH)
get_filename_component(nvcc_folder "${nvcc_folder}" DIRECTORY)
get_filename_component(toolkit "${nvcc_folder}" DIRECTORY)
foreach(library cudart cublasLt)
  string(TOLOWER ${library} target)
  find_library(TOME_${library}_LIBRARY ${library} HINTS "${toolkit}" PATH_SUFFIXES lib64 lib
               NO_DEFAULT_PATH REQUIRED)
  add_library(tome_${target} SHARED IMPORTED)
  set_target_properties(tome_${target} PROPERTIES IMPORTED_LOCATION "${TOME_${library}_LIBRARY}")
  target_include_directories(tome_${target} SYSTEM INTERFACE "${toolkit}/include")
endforeach()

set(CMAKE_CUDA_COMPILER "${TOME_NVCC}")
set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # tome_cudart, which nvcc would link statically otherwise
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
set(TOME_CUDA ON)
