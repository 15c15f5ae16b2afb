/// Storages and views of tensors in both formats of torch.save: valid rare forms, and damaged ones.
module NormFree.Tests.Archives.StorageTests

open System
open System.IO
open Expecto
open NormFree.Archives.PyTorch
open NormFree.Formats.Safetensors
open NormFree.Tests.Formats
open NormFree.Tests.Archives.PyTorchFixtures

let private floats (values: float32 list) = values |> List.map BitConverter.GetBytes |> Array.concat
let private four = floats [ 1.0f; 2.0f; 3.0f; 4.0f ]

/// The pickle of the persistent id of a storage of four floats, with these changes of its items.
let private idWith (changes: (int * string) list) extra =
    let items = [ "Vstorage\n"; "ctorch\nFloatStorage\n"; "V0\n"; "Vcpu\n"; "I4\n" ]

    let changed =
        [ for i, item in List.indexed items ->
              changes |> List.tryFind (fst >> (=) i) |> Option.map snd |> Option.defaultValue item ]

    "(" + String.concat "" (changed @ extra) + "tQ"

let private id' = idWith [] []

/// A call that rebuilds a tensor.
let private rebuild name arguments = $"ctorch._utils\n{name}\n(" + String.concat "" arguments + "tR"

let private tensorOf id = rebuild "_rebuild_tensor_v2" [ id; "I0\n"; "(I4\nt"; "(I1\nt"; "I00\n(d" ]

let private dictionary entries = "(d" + String.concat "" [ for key, value in entries -> $"V{key}\n{value}s" ] + "."

/// A file of the zip format with a storage of four floats.
let private zipped pickle = zipOf [ "a/data.pkl", ascii pickle; "a/data/0", four ]

let private head = "\128\002\138\010l\252\156F\249 j\168P\025.\128\002M\233\003.\128\002}."

/// A file of the stream format: a pickle, the keys of the storages, and the bytes after them.
let private streamed pickle keys (storages: byte[] list) = Array.concat (ascii (head + pickle + keys) :: storages)

let private keys = "(lV0\na."
let private storage = Array.append (BitConverter.GetBytes 4L) four
let private stream pickle = streamed pickle keys [ storage ]

let private bytesOf (file: PyTorchFile) = (Seq.exactlyOne file.Tensors).ToBytes()

let private rare =
    [ for what, tensor in
          [ "the first function", rebuild "_rebuild_tensor" [ id'; "I0\n"; "(I4\nt"; "(I1\nt" ]
            "a size of its own class",
            rebuild "_rebuild_tensor_v2" [ id'; "I0\n"; "ctorch\nSize\n((I4\nttR"; "(I1\nt"; "I00\n(d" ]
            "a stated type",
            rebuild
                "_rebuild_tensor_v3"
                [ idWith [ 1, "ctorch.storage\nUntypedStorage\n"; 4, "I16\n" ] []
                  "I0\n"
                  "(I4\nt"
                  "(I1\nt"
                  "I00\n(d"
                  "ctorch\nfloat32\n" ]
            "a parameter with a state", rebuild "_rebuild_parameter_with_state" [ tensorOf id'; "I01\n(d(d" ]
            "a parameter in a parameter",
            rebuild "_rebuild_parameter" [ rebuild "_rebuild_parameter" [ tensorOf id'; "I01\n(d" ]; "I01\n(d" ]
            "no view", tensorOf (idWith [] [ "N" ]) ] do
          test $"a tensor is read that is rebuilt by {what}" {
              Expect.equal (zipped (dictionary [ "t", tensor ]) |> read |> bytesOf) four "elements"
          }

      test "a view of a storage is read in the stream format, and its bounds are checked" {
          let view offset count = tensorOf (idWith [] [ $"(V0\nI{offset}\nI{count}\nt" ])
          let of' offset count size = (view offset count).Replace("(I4\nt", $"(I{size}\nt")
          Expect.equal (stream (dictionary [ "t", of' 1 3 3 ]) |> read |> bytesOf) four[4..] "the last three"
          Expect.equal (stream (dictionary [ "t", of' 4 0 0 ]) |> read |> bytesOf) [||] "none at the end"

          for offset, count in [ 5, 0; 1, 4; 0, 5 ] do
              Expect.stringContains
                  (Mutation.refusal (fun () -> read (stream (dictionary [ "t", of' offset count 1 ]))))
                  $"a view of {count} elements from {offset}"
                  "message"
      }

      test "an empty tensor outside its storage is read" {
          let tensor = rebuild "_rebuild_tensor_v2" [ id'; "I9\n"; "(I0\nI3\nt"; "(I3\nI1\nt"; "I00\n(d" ]
          Expect.equal (zipped (dictionary [ "t", tensor ]) |> read |> bytesOf) [||] "elements"
      }

      test "axes of one element may have any stride" {
          let tensor =
              rebuild "_rebuild_tensor_v2" [ id'; "I0\n"; "(I2\nI1\nI2\nt"; "(I2\nI77\nI1\nt"; "I00\n(d" ]

          Expect.equal (zipped (dictionary [ "t", tensor ]) |> read |> bytesOf) four "elements"
      }

      test "a scalar is read, and one of its storage's last element" {
          let tensor = rebuild "_rebuild_tensor_v2" [ id'; "I3\n"; "(t"; "(t"; "I00\n(d" ]
          Expect.equal (zipped (dictionary [ "t", tensor ]) |> read |> bytesOf) four[12..] "element"
      } ]

/// What is damaged, the tensor, and part of the message.
let private damagedTensors =
    let unknown = "not in PyTorch's format for storages"
    let format = "not in PyTorch's format for tensors"
    let v2 id offset size stride = rebuild "_rebuild_tensor_v2" [ id; offset; size; stride; "I00\n(d" ]

    [ "a persistent id that is text", tensorOf "V0\nQ", unknown
      "a persistent id of four items", tensorOf "(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\ntQ", unknown
      "a persistent id of seven items", tensorOf (idWith [] [ "N"; "N" ]), unknown
      "another kind of persistent id", tensorOf (idWith [ 0, "Vmodule\n" ] []), unknown
      "a class that is text", tensorOf (idWith [ 1, "VFloatStorage\n" ] []), unknown
      "an unknown class", tensorOf (idWith [ 1, "ctorch\nOtherStorage\n" ] []), unknown
      "a key that is a number", tensorOf (idWith [ 2, "I0\n" ] []), unknown
      "a negative number of elements", tensorOf (idWith [ 4, "I-1\n" ] []), unknown
      "a number of elements that is text", tensorOf (idWith [ 4, "V4\n" ] []), unknown
      "a view that is text", tensorOf (idWith [] [ "Vx\n" ]), unknown
      "a view of two items", tensorOf (idWith [] [ "(V0\nI0\nt" ]), unknown
      "a view with an offset of text", tensorOf (idWith [] [ "(V0\nVx\nI1\nt" ]), unknown
      "a view with a size of text", tensorOf (idWith [] [ "(V0\nI0\nVx\nt" ]), unknown
      "a view with a negative offset", tensorOf (idWith [] [ "(V0\nI-1\nI1\nt" ]), unknown
      "a view with a negative size", tensorOf (idWith [] [ "(V0\nI0\nI-1\nt" ]), unknown
      "a view in the zip format", tensorOf (idWith [] [ "(V0\nI0\nI4\nt" ]), "a view of another one"
      "too few arguments", rebuild "_rebuild_tensor_v2" [ id'; "I0\n"; "(I4\nt" ], format
      "a storage that is no persistent id", v2 "V0\n" "I0\n" "(I4\nt" "(I1\nt", format
      "an offset that is text", v2 id' "V0\n" "(I4\nt" "(I1\nt", format
      "a size that is a list", v2 id' "I0\n" "(lI4\na" "(I1\nt", format
      "a size of text", v2 id' "I0\n" "(V4\nt" "(I1\nt", format
      "a size of another class", v2 id' "I0\n" "ccollections\nOrderedDict\n((I4\nttR" "(I1\nt", format
      "a size of two arguments", v2 id' "I0\n" "ctorch\nSize\n((I4\nt(I4\nttR" "(I1\nt", format
      "an offset that overflows with a stride", v2 id' "I9223372036854775807\n" "(I2\nt" "(I1\nt", "outside its storage"
      "a stride of which five exceed 64 bits", v2 id' "I0\n" "(I6\nt" "(I9223372036854775807\nt", "outside its storage"
      "a stride of text", v2 id' "I0\n" "(I4\nt" "(V1\nt", format
      "nine parameters around a tensor",
      List.fold (fun inner _ -> rebuild "_rebuild_parameter" [ inner; "I01\n(d" ]) (tensorOf id') [ 1..9 ],
      "it was saved by 'torch._utils'.'_rebuild_parameter'"
      "a parameter of a number", rebuild "_rebuild_parameter" [ "I1\n"; "I01\n(d" ], format
      "a parameter without a tensor",
      "ctorch.nn.parameter\nParameter\n)R",
      "it was saved by 'torch.nn.parameter'.'Parameter'"
      "a parameter with a short state",
      "ctorch.nn.parameter\nParameter\n)R(I1\ntb",
      "it was saved by 'torch.nn.parameter'.'Parameter'"
      "a stated type that is missing",
      rebuild "_rebuild_tensor_v3" [ id'; "I0\n"; "(I4\nt"; "(I1\nt"; "I00\n(d" ],
      "its type is unknown"
      "a stated type of another module",
      rebuild "_rebuild_tensor_v3" [ id'; "I0\n"; "(I4\nt"; "(I1\nt"; "I00\n(d"; "cnumpy\nfloat32\n" ],
      "its type is unknown"
      "an unknown stated type",
      rebuild "_rebuild_tensor_v3" [ id'; "I0\n"; "(I4\nt"; "(I1\nt"; "I00\n(d"; "ctorch\nfloat8\n" ],
      "its type is unknown"
      "a quantised storage", tensorOf (idWith [ 1, "ctorch\nQInt8Storage\n" ] []), "complex or quantised" ]

let private damagedStreams =
    let plain = dictionary [ "t", tensorOf id' ]
    let claim (elements: int64) = streamed plain keys [ BitConverter.GetBytes elements; four ]
    let asInt = idWith [ 1, "ctorch\nIntStorage\n" ] []

    [ "keys that are no list", streamed plain "V0\n." [ storage ], "the keys of the storages are not a list"
      "a key that is a number", streamed plain "(lI0\na." [ storage ], "the key of a storage"
      "a key that no tensor uses", streamed plain "(lV7\na." [ storage ], "the key of a storage"
      "a key twice", streamed plain "(lV0\naV0\na." [ storage; storage ], "the key of a storage"
      "a storage that is not there", streamed plain "(l." [], "its storage '0' is not in the file"
      "an end in the number of elements",
      streamed plain keys [ Array.zeroCreate 7 ],
      "the file ends before its last storage"
      "a negative number of elements", claim -1L, "a storage claims -1 elements"
      "a number of elements above the file's", claim 5L, "a storage claims 5 elements"
      "fewer elements than the pickle says",
      streamed plain keys [ BitConverter.GetBytes 3L; four[..11] ],
      "its storage should have 4 elements of F32, but has 3"
      "one storage of two types",
      stream (dictionary [ "t", tensorOf id'; "u", tensorOf asInt ]),
      "storage '0': it is used as I32 and as F32"
      "another protocol", ascii (head.Replace("M\233\003", "M\234\003")), "its protocol is not 1001"
      "no protocol", ascii (head.Replace("M\233\003", "N")), "its protocol is not 1001"
      "a magic number that is text", ascii "\128\002X\001\000\000\000a.", "its magic number is not PyTorch's" ]

let private refused bytes part = Expect.stringContains (Mutation.refusal (fun () -> read bytes)) part "message"

let tests =
    testList
        "storages"
        [ yield! rare
          for what, tensor, part in damagedTensors do
              test $"refused: {what}" { refused (zipped (dictionary [ "t", tensor ])) part }
          for what, bytes, part in damagedStreams do
              test $"refused in the stream format: {what}" { refused bytes part }
          test "an archive without a folder is read" {
              let pickle = ascii (dictionary [ "t", tensorOf id' ])
              Expect.equal (read (zipOf [ "data.pkl", pickle; "data/0", four ]) |> bytesOf) four "elements"
          }
          for kind in [ "ctorch.tensor\n_rebuild_from_type\n"; "ctorch._tensor\n_rebuild_from_type_v2\n" ] do
              test $"a tensor of a class of its own is read: {kind.Trim()}" {
                  let arguments = $"({id'}I0\n(I4\nt(I1\ntI00\n(dt"
                  let tensor = $"{kind}(ctorch._utils\n_rebuild_tensor_v2\nN{arguments}tR"
                  Expect.equal (zipped (dictionary [ "t", tensor ]) |> read |> bytesOf) four "elements"
              }
          test "no archive of more than 65535 entries is written" {
              let writer = PyTorchWriter()

              for i in 1..65_533 do
                  writer.Add($"{i}", DType.U8, ReadOnlySpan [| 0L |], ReadOnlyMemory.Empty) |> ignore

              Expect.throwsT<InvalidOperationException> (fun () -> writer.Write Stream.Null) "too many entries"
          }
          test "two tensors of one storage share it" {
              let file = read (zipped (dictionary [ "t", tensorOf id'; "u", tensorOf id' ]))
              Expect.allEqual [ for tensor in file.Tensors -> tensor.ToBytes() ] four "elements"
          }
          test "bytes of no known kind are refused" { refused [| 7uy; 200uy; 0uy |] "it is not a PyTorch file" }
          test "a storage with a part of an element is refused" {
              let pickle = ascii (dictionary [ "t", tensorOf (idWith [ 4, "I5\n" ] []) ])
              refused (zipOf [ "a/data.pkl", pickle; "a/data/0", Array.append four [| 1uy |] ]) "17 bytes"
          }
          test "the same names outside PyTorch's modules are no tensors" {
              for pickle in [ "cmy\n_rebuild_tensor_v2\n)R"; "ctorch._tensor\nother\n)R" ] do
                  refused (zipped (dictionary [ "t", pickle ])) "expected a dictionary of tensors"
          }
          test "a tensor of a class of its own with other arguments is refused" {
              for arguments in [ "(t"; "(ctorch._utils\n_rebuild_tensor_v2\nNNt"; "(NN(tt" ] do
                  let pickle = $"ctorch._tensor\n_rebuild_from_type_v2\n{arguments}R"

                  refused
                      (zipped (dictionary [ "t", pickle ]))
                      "it was saved by 'torch._tensor'.'_rebuild_from_type_v2'"
          }
          for dtype in [ DType.U16; DType.U32; DType.U64 ] do
              test $"PyTorch has no storage class of {dtype.Name()}" {
                  let add () = PyTorchWriter().Add("x", dtype, ReadOnlySpan [| 0L |], ReadOnlyMemory.Empty) |> ignore

                  Expect.throwsT<ArgumentException> add "storage class"
              }
          test "sizes of every width are written and read again" {
              for size in [ 0L; 255L; 256L; 70_000L ] do
                  use stream = new MemoryStream()

                  PyTorchWriter()
                      .Add("x", DType.U8, ReadOnlySpan [| size |], ReadOnlyMemory(Array.zeroCreate (int size)))
                      .Write
                      stream

                  Expect.equal (Seq.exactlyOne (read (stream.ToArray())).Tensors).Shape[0] size "size"

              // Too large for 32 bits, and empty all the same.
              use stream = new MemoryStream()
              PyTorchWriter().Add("x", DType.U8, ReadOnlySpan [| 0L; 1L <<< 40 |], ReadOnlyMemory.Empty).Write stream
              Expect.equal (Seq.exactlyOne (read (stream.ToArray())).Tensors).Shape[1] (1L <<< 40) "size"
          } ]

/// Computes checksums of 3 GiB.
let soak =
    testList
        "large archives"
        [ test "no archive of more than 4 GiB is written" {
              let bytes = ReadOnlyMemory(GC.AllocateUninitializedArray<byte> 1_500_000_000)
              let writer = PyTorchWriter()

              for i in 1..3 do
                  writer.Add($"{i}", DType.U8, ReadOnlySpan [| 1_500_000_000L |], bytes) |> ignore

              Expect.throwsT<InvalidOperationException> (fun () -> writer.Write Stream.Null) "4 GiB"
          } ]
