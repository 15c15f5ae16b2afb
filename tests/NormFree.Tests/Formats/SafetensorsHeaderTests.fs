/// Headers of safetensors files: which are accepted, which are rejected and with which message, and damage.
module NormFree.Tests.Formats.SafetensorsHeaderTests

open System
open System.Buffers.Binary
open System.Text
open Expecto
open NormFree.Tests.Formats.SafetensorsSupport

let private withHeader (json: string) (data: byte[]) =
    let header = Encoding.UTF8.GetBytes json
    let length = Array.zeroCreate 8
    BinaryPrimitives.WriteInt64LittleEndian(Span length, int64 header.Length)
    Array.concat [ length; header; data ]

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

let tests =
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
