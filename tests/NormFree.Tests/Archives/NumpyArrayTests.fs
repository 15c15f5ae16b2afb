/// Arrays and scalars of NumPy in pickles, in every form that NumPy writes, and damaged ones.
module NormFree.Tests.Archives.NumpyArrayTests

open System
open System.Text
open Expecto
open NormFree.Archives.Pickle
open NormFree.Tests.Formats
open NormFree.Tests.Archives.PickleFixtures

let private tuple parts = "(" + String.concat "" parts + "t"
let private number (n: int64) = $"I{n}\n"
let private text (value: string) = $"V{value}\n"
let private bytes (values: byte[]) = $"C{char values.Length}{Encoding.Latin1.GetString values}"

let private dtypeWith order code =
    "cnumpy\ndtype\n"
    + tuple [ text code; number 0L; number 1L ]
    + "R"
    + tuple [ number 3L; text order; "N" ]
    + "b"

let private dtype = dtypeWith "<"
let private shape (sizes: int64 list) = tuple [ for size in sizes -> number size ]

/// An array in the form of protocols 0 to 4.
let private reconstructed shape dtype isFortran data =
    "cnumpy.core.multiarray\n_reconstruct\n"
    + tuple [ "cnumpy\nndarray\n"; tuple [ number 0L ]; bytes "b"B ]
    + "R"
    + tuple [ number 1L; shape; dtype; (if isFortran then "I01\n" else "I00\n"); data ]
    + "b"

/// An array in the form of protocol 5.
let private fromBuffer shape dtype order data =
    "cnumpy.core.numeric\n_frombuffer\n" + tuple [ data; dtype; shape; text order ] + "R"

let private scalar dtype data = "cnumpy.core.multiarray\nscalar\n" + tuple [ dtype; data ] + "R"

let private value pickle = read (latin1 (pickle + "."))
let private array pickle = NumpyArray.From(value pickle, "damaged", "data")
let private integers pickle = NumpyArray.Integers(value pickle, "damaged", "labels")
let private refusal read pickle = Mutation.refusal (fun () -> read pickle)
let private simple data = reconstructed (shape [ 2L ]) (dtype "u1") false data

/// Bytes of two integers, −1 or the highest, and 1.
let private widths =
    [ "u1", [| 255uy; 1uy |], 255L
      "i1", [| 255uy; 1uy |], -1L
      "u2", [| 255uy; 255uy; 1uy; 0uy |], 65535L
      "i2", [| 255uy; 255uy; 1uy; 0uy |], -1L
      "u4", Array.append (Array.create 4 255uy) (BitConverter.GetBytes 1), 4294967295L
      "i4", Array.append (Array.create 4 255uy) (BitConverter.GetBytes 1), -1L
      "i8", Array.append (Array.create 8 255uy) (BitConverter.GetBytes 1L), -1L
      "u8", Array.append (BitConverter.GetBytes Int64.MaxValue) (BitConverter.GetBytes 1L), Int64.MaxValue ]

let private reading =
    [ for code, data, first in widths do
          test $"integers of type {code} are read from an array and from scalars" {
              let pickle = reconstructed (shape [ 2L ]) (dtype code) false (bytes data)
              Expect.equal (integers pickle) [| first; 1L |] "array"
              let halves = [ for half in Array.splitInto 2 data -> scalar (dtype code) (bytes half) ]
              Expect.equal (integers (tuple halves)) [| first; 1L |] "scalars"
          }

      for code in [ "b1"; "f2"; "f4"; "f8" ] do
          test $"elements of type {code} are read as bytes, but not as integers" {
              let data = Array.zeroCreate<byte>(int code[1] - int '0')
              let pickle = reconstructed (shape [ 1L ]) (dtype code) false (bytes data)
              Expect.equal (array pickle).ElementType code "type"
              Expect.stringContains (refusal integers pickle) $"found elements of type {code}" "message"
          }

      test "bytes of protocols without bytes are read from the calls that replace them" {
          for data in
              [ "c_codecs\nencode\n" + tuple [ text "\201a"; text "latin1" ] + "R"
                "c__builtin__\nbytearray\n" + tuple [ bytes [| 201uy; 97uy |] ] + "R"
                "cbuiltins\nbytes\n" + tuple [ bytes [| 201uy; 97uy |] ] + "R" ] do
              Expect.equal ((array (simple data)).Bytes.ToArray()) [| 201uy; 97uy |] data

          for empty in [ "cbuiltins\nbytes\n)R"; "cbuiltins\nbytearray\n)R" ] do
              let pickle = reconstructed (shape [ 0L; 3L ]) (dtype "u1") true empty
              Expect.equal (array pickle).Bytes.Length 0 empty
      }

      test "an array whose first axis varies fastest is read in the usual order, in both forms" {
          let data = bytes [| 1uy; 2uy; 3uy; 4uy; 5uy; 6uy |]
          let expected = [| 1uy; 3uy; 5uy; 2uy; 4uy; 6uy |]
          let sizes = shape [ 2L; 3L ]

          for pickle in [ reconstructed sizes (dtype "u1") true data; fromBuffer sizes (dtype "u1") "F" data ] do
              Expect.equal ((array pickle).Bytes.ToArray()) expected "elements"

          Expect.equal ((array (fromBuffer sizes (dtype "u1") "C" data)).Bytes.Span[1]) 2uy "row-major"
      }

      test "64 axes are read" {
          Expect.hasLength
              (array (reconstructed (shape (List.replicate 64 1L)) (dtype "u1") false (bytes [| 7uy |]))).Shape
              64
              "axes"
      } ]

let private two = bytes [| 1uy; 2uy |]

/// What is damaged, the pickle, and part of the message.
let private notArrays =
    let wide = "c_codecs\nencode\n" + tuple [ text "\\u1234"; text "latin1" ] + "R"

    [ "65 axes", reconstructed (shape (List.replicate 65 1L)) (dtype "u1") false two, "65 axes"
      "a negative size", reconstructed (shape [ -1L; -2L ]) (dtype "u1") false two, "is not valid"
      "a size above 2^31", reconstructed (shape [ 0x80000000L ]) (dtype "u1") false two, "is not valid"
      "sizes whose product is above 2^31",
      reconstructed (shape [ 65536L; 65536L ]) (dtype "u1") false two,
      "is not valid"
      "too few bytes", reconstructed (shape [ 3L ]) (dtype "u1") false two, "needs 3 bytes"
      "a size that is text", reconstructed (tuple [ text "2" ]) (dtype "u1") false two, "expected a NumPy array"
      "a shape that is a number", reconstructed (number 2L) (dtype "u1") false two, "expected a NumPy array"
      "data that are a number", simple (number 2L), "expected a NumPy array"
      "data that are encoded from more than 8 bits", simple wide, "expected a NumPy array"
      "data that encode a number",
      simple ("c_codecs\nencode\n" + tuple [ number 1L; text "latin1" ] + "R"),
      "expected a NumPy array"
      "data of a call with two arguments",
      simple ("cbuiltins\nbytes\n" + tuple [ two; two ] + "R"),
      "expected a NumPy array"
      "data of another call", simple ("ccollections\nOrderedDict\n)R"), "expected a NumPy array"
      "a state that is no tuple",
      "cnumpy.core.multiarray\n_reconstruct\n"
      + tuple [ "cnumpy\nndarray\n"; tuple [ number 0L ]; bytes "b"B ]
      + "R]b",
      "expected a NumPy array"
      "no state",
      "cnumpy.core.multiarray\n_reconstruct\n"
      + tuple [ "cnumpy\nndarray\n"; tuple [ number 0L ]; bytes "b"B ]
      + "R",
      "expected a NumPy array"
      "three arguments",
      "cnumpy.core.numeric\n_frombuffer\n" + tuple [ two; dtype "u1"; shape [ 2L ] ] + "R",
      "expected a NumPy array"
      "a scalar", scalar (dtype "u1") (bytes [| 1uy |]), "expected a NumPy array"
      "big-endian numbers", reconstructed (shape [ 1L ]) (dtypeWith ">" "i2") false two, "not little-endian"
      "an unknown type", reconstructed (shape [ 1L ]) (dtype "c8") false two, "not little-endian"
      "a type that is text", reconstructed (shape [ 1L ]) (text "u1") false two, "not little-endian"
      "a type without a state",
      reconstructed (shape [ 1L ]) ("cnumpy\ndtype\n" + tuple [ text "u1" ] + "R") false two,
      "not little-endian"
      "a type whose code is a number",
      reconstructed
          (shape [ 1L ])
          ("cnumpy\ndtype\n" + tuple [ number 1L ] + "R" + tuple [ number 3L; text "|" ] + "b")
          false
          two,
      "not little-endian"
      "a type with a short state",
      reconstructed (shape [ 1L ]) ("cnumpy\ndtype\n" + tuple [ text "u1" ] + "R" + tuple [ number 3L ] + "b") false two,
      "not little-endian" ]

let private notIntegers =
    [ "two axes", reconstructed (shape [ 1L; 2L ]) (dtype "u1") false two, "expected one axis and found 2"
      "a number above 2^63 in an array",
      reconstructed (shape [ 1L ]) (dtype "u8") false (bytes (Array.create 8 255uy)),
      "expected integers"
      "a number above 2^63 in a scalar", tuple [ scalar (dtype "u8") (bytes (Array.create 8 255uy)) ], "labels[0]"
      "a float", tuple [ number 1L; "F1.5\n" ], "labels[1]: expected a 64-bit integer and found a float"
      "a scalar of a float", tuple [ scalar (dtype "f8") (bytes (Array.zeroCreate 8)) ], "labels[0]"
      "a scalar with too few bytes", tuple [ scalar (dtype "i4") two ], "labels[0]"
      "a scalar of an unknown type", tuple [ scalar (dtype "c8") two ], "labels[0]"
      "a scalar without bytes", tuple [ scalar (dtype "i4") (number 2L) ], "labels[0]"
      "a scalar with one argument",
      tuple [ "cnumpy.core.multiarray\nscalar\n" + tuple [ dtype "i4" ] + "R" ],
      "labels[0]"
      "an integer of 70 bits", tuple [ "L1180591620717411303424L\n" ], "labels[0]" ]

let tests =
    testList
        "NumPy arrays"
        [ yield! reading
          for what, pickle, part in notArrays do
              test $"no array: {what}" { Expect.stringContains (refusal array pickle) part "message" }
          for what, pickle, part in notIntegers do
              test $"no integers: {what}" { Expect.stringContains (refusal integers pickle) part "message" } ]
