/// Reading safetensors files: types, headers and damage.
module NormFree.Tests.Formats.SafetensorsTests

open System
open System.Buffers.Binary
open System.IO
open System.Runtime.InteropServices
open System.Text
open Expecto
open FsCheck
open NormFree.Formats
open NormFree.Formats.Safetensors
open NormFree.Tests.Formats.SafetensorsSupport

let private withHeader (json: string) (data: byte[]) =
    let header = Encoding.UTF8.GetBytes json
    let length = Array.zeroCreate 8
    BinaryPrimitives.WriteInt64LittleEndian(Span length, int64 header.Length)
    Array.concat [ length; header; data ]

let private read (bytes: byte[]) = SafetensorsFile.Read(new MemoryStream(bytes), "damaged")

let private elements (values: 'a list) = MemoryMarshal.AsBytes(ReadOnlySpan(Array.ofList values)).ToArray()

/// Three elements of each type as bytes and as numbers: zero, one, and the lowest value (-2.5 for BF16).
let private samples: (DType * byte[] * float list) list =
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

let private everyType =
    (SafetensorsWriter().Describe("format", "test").Describe("ä \"quoted\"", "line\nbreak"), samples)
    ||> List.fold (fun writer (dtype, bytes, _) -> add $"layer.{dtype.Name()}" dtype [ 3L; 1L ] bytes writer)
    |> bytesOf

let private isFloat dtype = List.contains dtype [ DType.F16; DType.BF16; DType.F32; DType.F64 ]

let private roundTrips =
    [ test "there is a sample of every type" {
          Expect.sequenceEqual (samples |> List.map (fun (dtype, _, _) -> dtype)) DTypes.All "types"
      }

      for dtype, bytes, values in samples do
          test $"{dtype.Name()} round-trips as bytes and converts to numbers" {
              use file = read everyType
              let entry = file[$"layer.{dtype.Name()}"]
              Expect.equal entry.DType dtype "type"
              Expect.sequenceEqual entry.Shape [ 3L; 1L ] "shape"
              Expect.equal (file.ReadBytes entry) bytes "bytes"
              Expect.sequenceEqual (file.ReadAsDouble entry) values "as double"
              Expect.sequenceEqual (file.ReadAsSingle entry) (values |> List.map float32) "as single"

              if isFloat dtype then
                  Expect.stringContains
                      (Mutation.refusal (fun () -> file.ReadAsInt64 entry))
                      "integers are required"
                      "as int64"
              else
                  Expect.sequenceEqual (file.ReadAsInt64 entry) (values |> List.map int64) "as int64"
          }

      test "metadata and order are preserved, and the data starts at a multiple of 64 bytes" {
          use file = read everyType
          Expect.equal file.Metadata["ä \"quoted\""] "line\nbreak" "text"
          Expect.sequenceEqual (file.Tensors |> Seq.map _.DType) DTypes.All "order"
          let data = samples |> List.sumBy (fun (_, bytes, _) -> bytes.Length)
          Expect.equal ((everyType.Length - data) % 64) 0 "alignment"
      }

      test "scalars, empty tensors and a file without tensors are valid" {
          use none = SafetensorsWriter() |> bytesOf |> read
          Expect.isEmpty none.Tensors "none"

          use file =
              SafetensorsWriter()
              |> add "scalar" DType.F32 [] (BitConverter.GetBytes 7.0f)
              |> add "empty" DType.F32 [ 3L; 0L ] [||]
              |> add "last" DType.U8 [ 1L ] [| 9uy |]
              |> bytesOf
              |> read

          Expect.equal (file.ReadAsSingle file["scalar"]) [| 7.0f |] "scalar"
          Expect.equal (file.ReadAsSingle file["empty"]) [||] "empty"
          Expect.equal (file.ReadAsInt64 file["last"]) [| 9L |] "last"
      }

      test "a number above 2^63-1 is an error when read as int64" {
          use file =
              SafetensorsWriter()
              |> add "big" DType.U64 [ 1L ] (BitConverter.GetBytes UInt64.MaxValue)
              |> bytesOf
              |> read

          Expect.stringContains (Mutation.refusal (fun () -> file.ReadAsInt64 file["big"])) "above 2^63-1" "message"
          Expect.equal (file.ReadAsDouble file["big"]) [| 18446744073709551616.0 |] "as double"
      }

      test "the error for a missing tensor names it" {
          use file = read everyType
          let message = Mutation.refusal (fun () -> file["fc.weight"])

          Expect.equal
              message
              "damaged, tensor 'fc.weight': it is not in the file. Check that the file belongs to this network."
              "message"
      }

      testProperty "any names and bytes round-trip" (fun (tensors: Map<NonEmptyString, byte[]>) ->
          let valid =
              [ for NonEmptyString name, bytes in Map.toList tensors do
                    if not (Seq.exists Char.IsSurrogate name) then
                        name, bytes ]

          use file =
              (SafetensorsWriter(), valid)
              ||> List.fold (fun writer (name, bytes) -> add name DType.U8 [ int64 bytes.Length ] bytes writer)
              |> bytesOf
              |> read

          for name, bytes in valid do
              Expect.equal (file.ReadBytes file[name]) bytes name)

      test "a tensor larger than the conversion buffer is converted completely" {
          let numbers = Array.init (2 * 65536 + 3) int16

          let writer =
              SafetensorsWriter()
              |> add "long" DType.I16 [ int64 numbers.Length ] (elements (List.ofArray numbers))

          use file = writer |> bytesOf |> read
          Expect.equal (file.ReadAsInt64 file["long"]) (Array.map int64 numbers) "numbers"
      }

      test "parts of a tensor can be read, but no byte outside it" {
          use file = read everyType
          let entry = file["layer.I32"]
          let part = Array.zeroCreate 4
          file.ReadBytes(entry, 8L, Span part)
          Expect.equal (BitConverter.ToInt32 part) Int32.MinValue "last element"
          Expect.throwsT<ArgumentOutOfRangeException> (fun () -> file.ReadBytes(entry, 9L, Span part)) "after its end"
          Expect.throwsT<ArgumentOutOfRangeException> (fun () -> file.ReadBytes(entry, -1L, Span part)) "before it"
      } ]

let private accepted =
    [ "spaces after the object, tensors not in the order of their bytes",
      """{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}     """,
      3
      "fields in another order, white space, escapes",
      """{ "\u0061" : { "data_offsets" : [ 0 , 1 ] ,
         "shape" : [ ] , "dtype" : "BOOL" } }""",
      1
      "metadata of other writers", """{"__metadata__":{"format":"pt","x":""}}""", 0
      "an empty tensor between others",
      """{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"e":{"dtype":"F64","shape":[0],"data_offsets":[1,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""",
      2 ]

let private tensor = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"""

/// Description, header, number of data bytes, part of the error message.
let private rejected =
    let fields text = $"""{{"a":{{{text}}}}}"""

    [ "an empty header", "", 0, "byte 8: the header does not begin with '{'"
      "a leading space", " {}", 0, "does not begin with '{'"
      "not an object", "[]", 0, "does not begin with '{'"
      "truncated JSON", """{"a":""", 0, "byte 8: the header is not JSON (line 1, byte 6)"
      "two objects", "{}\n{}", 0, "byte 8: the header is not JSON (line 2, byte 1)"
      "a comment", "{/**/}", 0, "not JSON"
      "NUL as padding", "{}\000\000", 0, "not JSON"
      "half a surrogate pair", """{"\ud800":{}}""", 0, "byte 8: the header contains a string that is not valid Unicode"
      "a name twice", """{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}""", 0, "'a' occurs twice"
      "a name twice, once escaped",
      """{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{}}""",
      0,
      "'a' occurs twice"
      "metadata twice", """{"__metadata__":{},"__metadata__":{}}""", 0, "occurs twice"
      "a metadata key twice", """{"__metadata__":{"k":"v","k":"v"}}""", 0, "'k' occurs twice"
      "a number as metadata value", """{"__metadata__":{"k":1}}""", 0, "expected a string"
      "null as metadata", """{"__metadata__":null}""", 0, "expected an object"
      "a Boolean as metadata value", """{"__metadata__":{"k":true}}""", 0, "found a Boolean"
      "a list as metadata value", """{"__metadata__":{"k":[]}}""", 0, "found a list"
      "an object as metadata value", """{"__metadata__":{"k":{}}}""", 0, "found an object"
      "text as metadata", """{"__metadata__":"k"}""", 0, "found a string"
      "a tensor that is not an object", """{"a":[]}""", 0, "expected an object for tensor 'a'"
      "an unknown type",
      fields """ "dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0] """,
      0,
      "'F8_E4M3' is not supported. Convert"
      "a dtype in lower case",
      fields """ "dtype":"f32","shape":[0],"data_offsets":[0,0] """,
      0,
      "'f32' is not supported"
      "no type", fields """ "shape":[0],"data_offsets":[0,0] """, 0, "needs a dtype"
      "no shape", fields """ "dtype":"U8","data_offsets":[0,0] """, 0, "needs a dtype"
      "no offsets", fields """ "dtype":"U8","shape":[0] """, 0, "needs a dtype"
      "a field twice",
      fields """ "dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0] """,
      0,
      "'dtype' is unknown or occurs twice"
      "an unknown field",
      fields """ "strides":[1],"dtype":"U8","shape":[0],"data_offsets":[0,0] """,
      0,
      "'strides' is unknown"
      "one offset", fields """ "dtype":"U8","shape":[0],"data_offsets":[0] """, 0, "two data_offsets"
      "three offsets", fields """ "dtype":"U8","shape":[0],"data_offsets":[0,0,0] """, 0, "more than 2 numbers"
      "a negative size", fields """ "dtype":"U8","shape":[-1],"data_offsets":[0,0] """, 0, "integers from 0"
      "two negative sizes", fields """ "dtype":"U8","shape":[-1,-1],"data_offsets":[0,1] """, 1, "integers from 0"
      "a fraction", fields """ "dtype":"U8","shape":[1.5],"data_offsets":[0,1] """, 1, "integers from 0"
      "a string as size", fields """ "dtype":"U8","shape":["1"],"data_offsets":[0,1] """, 1, "integers from 0"
      "a nested shape", fields """ "dtype":"U8","shape":[[1]],"data_offsets":[0,1] """, 1, "integers from 0"
      "a size above 64 bits",
      fields """ "dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1] """,
      1,
      "integers from 0"
      "sizes whose product wraps to 0",
      fields """ "dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0] """,
      0,
      "more than 2^63 bytes"
      "sizes whose product wraps to 8",
      fields """ "dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8] """,
      8,
      "more than 2^63 bytes"
      "65 axes",
      fields $""" "dtype":"U8","shape":[{String.Join(',', Array.create 65 1)}],"data_offsets":[0,1] """,
      1,
      "more than 64 numbers"
      "bytes that do not fill the shape",
      fields """ "dtype":"F32","shape":[2],"data_offsets":[0,4] """,
      4,
      "shape [2] of F32 needs 8 bytes, but the tensor has 4"
      "an end before the beginning", fields """ "dtype":"U8","shape":[1],"data_offsets":[1,0] """, 1, "before it begins"
      "truncated data", tensor, 7, "ends at byte 8, but the data has 7 bytes"
      "extra data", tensor, 9, "1 bytes belong to no tensor"
      "a gap at the start",
      fields """ "dtype":"U8","shape":[1],"data_offsets":[1,2] """,
      2,
      "the previous tensor ends at byte 0"
      "an overlap",
      """{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}""",
      3,
      "tensor 'b': it begins at byte 1"
      "control characters in a name",
      "{\"a\\nb\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,2]}}",
      2,
      "tensor 'a\\u000ab'" ]

let private headers =
    [ for what, json, data in accepted do
          test $"accepted: {what}" { (read (withHeader json (Array.zeroCreate data))).Dispose() }

      for what, json, data, part in rejected do
          test $"rejected: {what}" {
              let message = Mutation.refusal (fun () -> read (withHeader json (Array.zeroCreate data)))
              Expect.stringContains message part "message"
              Expect.stringStarts message "damaged, " "the file's name"
          }

      test "rejected: bytes that are not UTF-8" {
          let bytes = withHeader "{\"x\":{}}" [||]
          bytes[10] <- 0xffuy
          Expect.stringContains (Mutation.refusal (fun () -> read bytes)) "not UTF-8" "message"
      }

      for length, part in
          [ 0UL, "does not begin"
            3UL, "claims 3 bytes, but only 2 follow"
            100_000_000UL, "but only 2 follow"
            100_000_001UL, "the format allows 100000000"
            UInt64.MaxValue, "the format allows 100000000" ] do
          test $"rejected: a header of {length} bytes in a file of ten" {
              let bytes = Array.append (BitConverter.GetBytes length) "{}"B
              let before = GC.GetAllocatedBytesForCurrentThread()
              Expect.stringContains (Mutation.refusal (fun () -> read bytes)) part "message"
              Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 100_000L "allocated"
          }

      for length in 0..7 do
          test $"rejected: a file of {length} bytes" {
              Expect.stringContains
                  (Mutation.refusal (fun () -> read (Array.zeroCreate length)))
                  "too few for a safetensors file"
                  "message"
          }

      test "damaged files give one kind of error and bounded memory" {
          let small = withHeader tensor (Array.zeroCreate 8)

          let rejected =
              Mutation.survive 1 200L [ small; everyType ] (fun bytes ->
                  use file = read bytes

                  for entry in file.Tensors do
                      file.ReadAsDouble entry |> ignore)

          Expect.isGreaterThan rejected (Mutation.rounds / 3) "rejected"
      } ]

let tests =
    testList
        "safetensors"
        [ testList "round trips" roundTrips
          testList "headers" headers
          testList "writing" SafetensorsWritingTests.tests
          testList "checksum" SafetensorsChecksumTests.tests
          testList "limits" SafetensorsLimitTests.tests ]
