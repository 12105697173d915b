//! Tests of the loader: objects made here byte by byte, objects of the kernels' room, and hostile variations of both.

mod forge;
mod hostile;
mod real;
mod synthetic;
