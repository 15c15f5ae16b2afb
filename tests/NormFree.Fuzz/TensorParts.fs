/// Tensors that fuzz targets write.
module NormFree.Fuzz.TensorParts

open System
open System.IO
open NormFree.Formats.Safetensors
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Fuzz.Contract

let written (write: Stream -> unit) =
    use stream = new MemoryStream()
    write stream
    stream.ToArray()

/// A tensor that a file is written with.
type Part = { Name: string; Type: DType; Shape: int64[]; Bytes: byte[] }
