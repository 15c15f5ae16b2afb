/// Safetensors files in memory.
module NormFree.Tests.Formats.SafetensorsSupport

open System
open System.IO
open System.Runtime.InteropServices
open NormFree.Formats.Safetensors

let bytesOf (writer: SafetensorsWriter) =
    use stream = new MemoryStream()
    writer.Write stream
    stream.ToArray()

let add name dtype (shape: int64 list) (bytes: byte[]) (writer: SafetensorsWriter) =
    writer.Add(name, dtype, ReadOnlySpan(Array.ofList shape), ReadOnlyMemory bytes)

let read (bytes: byte[]) = SafetensorsFile.Read(new MemoryStream(bytes), "damaged")

let elements (values: 'a list) = MemoryMarshal.AsBytes(ReadOnlySpan(Array.ofList values)).ToArray()

/// Three elements of each type as bytes and as numbers: zero, one, and the lowest value (-2.5 for BF16).
let samples: (DType * byte[] * float list) list =
    [ DType.Bool, [| 0uy; 1uy; 1uy |], [ 0.0; 1.0; 1.0 ]
      DType.U8, [| 0uy; 1uy; 255uy |], [ 0.0; 1.0; 255.0 ]
      DType.I8, [| 0uy; 1uy; 0x80uy |], [ 0.0; 1.0; -128.0 ]
      DType.I16, elements [ 0s; 1s; Int16.MinValue ], [ 0.0; 1.0; -32768.0 ]
      DType.U16, elements [ 0us; 1us; UInt16.MaxValue ], [ 0.0; 1.0; 65535.0 ]
      DType.F16, elements [ Half.Zero; Half.One; Half.MinValue ], [ 0.0; 1.0; -65504.0 ]
      DType.BF16, elements [ 0us; 0x3f80us; 0xc020us ], [ 0.0; 1.0; -2.5 ]
      DType.I32, elements [ 0; 1; Int32.MinValue ], [ 0.0; 1.0; -2147483648.0 ]
      DType.U32, elements [ 0u; 1u; UInt32.MaxValue ], [ 0.0; 1.0; 4294967295.0 ]
      DType.F32, elements [ 0.0f; 1.0f; -2.5f ], [ 0.0; 1.0; -2.5 ]
      DType.F64, elements [ 0.0; 1.0; -0.1 ], [ 0.0; 1.0; -0.1 ]
      DType.I64, elements [ 0L; 1L; -5L ], [ 0.0; 1.0; -5.0 ]
      DType.U64, elements [ 0UL; 1UL; 5UL ], [ 0.0; 1.0; 5.0 ] ]

let everyType =
    (SafetensorsWriter().Describe("format", "test").Describe("ä \"quoted\"", "line\nbreak"), samples)
    ||> List.fold (fun writer (dtype, bytes, _) -> add $"layer.{dtype.Name()}" dtype [ 3L; 1L ] bytes writer)
    |> bytesOf
