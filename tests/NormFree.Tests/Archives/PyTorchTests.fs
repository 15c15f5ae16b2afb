module NormFree.Tests.Archives.PyTorchTests

open System
open System.IO
open System.IO.Compression
open System.Text
open System.Text.Json.Nodes
open Expecto
open NormFree.Archives.PyTorch
open NormFree.Tests
open NormFree.Formats.Safetensors
open NormFree.Tests.Golden
open NormFree.Tests.Archives.PyTorchFixtures

/// The content of a fixture according to make.py.
let expected name =
    lazy
        (GoldenFiles.get name ((nonNull (JsonNode.Parse(File.ReadAllText(fixturePath "expected.json")))).AsObject()))
            .AsObject()

let private dtypes =
    dict
        [ "float64", DType.F64
          "float32", DType.F32
          "float16", DType.F16
          "bfloat16", DType.BF16
          "int64", DType.I64
          "int32", DType.I32
          "int16", DType.I16
          "int8", DType.I8
          "uint8", DType.U8
          "bool", DType.Bool
          "uint16", DType.U16 ]

/// Elements as numbers, converted by the safetensors reader.
let private numbers (tensor: PyTorchTensor) =
    use stream = new MemoryStream()

    SafetensorsWriter()
        .Add("t", tensor.DType, ReadOnlySpan(Seq.toArray tensor.Shape), ReadOnlyMemory(tensor.ToBytes()))
        .Write
        stream

    stream.Position <- 0L
    use file = SafetensorsFile.Read(stream, "again")
    file.ReadAsDouble file["t"]

let private holds (name: string) (file: PyTorchFile) =
    let expected = (expected name).Value
    Expect.sequenceEqual (file.Tensors |> Seq.map _.Name) (expected |> Seq.map _.Key) "keys in order"

    for tensor in file.Tensors do
        let entry = (GoldenFiles.get tensor.Name expected).AsObject()
        Expect.equal tensor.DType dtypes[GoldenFiles.text "type" entry] $"{tensor.Name}: type"
        Expect.sequenceEqual tensor.Shape (GoldenFiles.integers "shape" entry) $"{tensor.Name}: shape"
        Expect.sequenceEqual (numbers tensor) (GoldenFiles.floats "values" entry) $"{tensor.Name}: values"

let private reads =
    testList
        "reads"
        [ for name, what in [ "types", "every type"; "views", "shared storages, views, strides and parameters" ] do
              for suffix, format in [ "", "zip"; "-stream", "stream" ] do
                  test $"{what} in the {format} format" { fixture $"{name}{suffix}.pth" |> read |> holds name }

          test "big-endian numbers" { fixture "big-endian.pth" |> read |> holds "types" }

          test "compressed entries" { fixture "compressed.pth" |> read |> holds "types" }

          test "types without a storage class" { fixture "unsigned.pth" |> read |> holds "unsigned" }

          test "a state dictionary among other entries, and lists entries that are not tensors" {
              let file = fixture "small-original.pth.tar" |> read
              Expect.equal file.Tensors[0].Name "module.conv1.weight" "first key"
              Expect.isEmpty file.OtherEntries "others"
              let bare = PyTorchWriter().Add("x", DType.U8, ReadOnlySpan [| 1L |], ReadOnlyMemory [| 9uy |])
              use stream = new MemoryStream()
              bare.Write stream
              Expect.equal ((read (stream.ToArray())).Find "x" |> nonNull).Bytes 1L "a bare one"
          }

          test "a file by its path; keys are names, not paths" {
              let file = PyTorchFile.Open(fixturePath "types.pth")
              Expect.equal file.Name (fixturePath "types.pth") "name"
              Expect.isNull (file.Find "../types.pth") "a name, not a path"
          } ]

/// Parameters from before PyTorch 0.4: a call of the class with a tensor, or with nothing and then a state of five items.
let private oldParameters =
    testList
        "reads parameters from before PyTorch 0.4"
        [ for what, wrap in
              [ "constructed from their tensor",
                (fun tensor -> $"ctorch.nn.parameter\nParameter\n({tensor}t\x81(I01\nI00\nNtb")
                "given their tensor by a state",
                (fun tensor -> $"ctorch.nn.parameter\nParameter\n(t\x81({tensor}NNI01\nI00\ntb") ] do
              test what {
                  let pickle = pickleOf "4" "1" "2" "2" |> Encoding.Latin1.GetString
                  let begins = pickle.IndexOf("ctorch._utils", StringComparison.Ordinal)

                  let changed =
                      pickle.Substring(0, begins) + wrap (pickle.Substring(begins, pickle.Length - begins - 2)) + "s."

                  let data =
                      Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 1.0f; 2.0f; 3.0f; 4.0f |]

                  let file = read (zipOf [ "a/data.pkl", ascii changed; "a/data/0", data ])
                  Expect.sequenceEqual (numbers (Seq.exactlyOne file.Tensors)) [ 2.0; 4.0 ] "elements"
              } ]

let private writes =
    testList
        "writes"
        [ test "every type and shape that it reads" {
              let original = fixture "types.pth" |> read
              let writer = PyTorchWriter()

              for tensor in original.Tensors do
                  writer.Add(
                      tensor.Name,
                      tensor.DType,
                      ReadOnlySpan(Seq.toArray tensor.Shape),
                      ReadOnlyMemory(tensor.ToBytes())
                  )
                  |> ignore

              use stream = new MemoryStream()
              writer.Write stream
              stream.ToArray() |> read |> holds "types"
          }

          test "a standard zip archive with contents at multiples of 64 bytes" {
              use stream = new MemoryStream()

              PyTorchWriter()
                  .Add("t", DType.F32, ReadOnlySpan [| 2L |], ReadOnlyMemory(BitConverter.GetBytes 1.0))
                  .Write
                  stream

              let bytes = stream.ToArray()
              use zip = new ZipArchive(new MemoryStream(bytes))
              let names = [ "archive/data.pkl"; "archive/byteorder"; "archive/data/0"; "archive/version" ]
              Expect.sequenceEqual (zip.Entries |> Seq.map _.FullName) names "names"

              use part = (nonNull (zip.GetEntry "archive/data/0")).Open()
              let content = Array.zeroCreate 8
              part.ReadExactly(Span content)
              Expect.equal content (BitConverter.GetBytes 1.0) "content"
              Expect.equal (bytes.AsSpan().IndexOf(ReadOnlySpan content) % 64) 0 "alignment"
          }

          test "no invalid tensors" {
              let add (name: string) dtype (bytes: byte[]) =
                  PyTorchWriter()
                      .Add("x", DType.U8, ReadOnlySpan [| 0L |], ReadOnlyMemory.Empty)
                      .Add(name, dtype, ReadOnlySpan [| 1L |], ReadOnlyMemory bytes)

              Expect.throwsT<ArgumentException> (fun () -> add "x" DType.U8 [| 0uy |] |> ignore) "duplicate name"
              Expect.throwsT<ArgumentException> (fun () -> add "y" DType.F32 [| 0uy |] |> ignore) "too few bytes"

              Expect.throwsT<ArgumentException>
                  (fun () -> add "y" DType.U64 (Array.zeroCreate 8) |> ignore)
                  "no such storage"
          } ]

let tests =
    testList
        "PyTorch"
        [ reads
          oldParameters
          writes
          PyTorchDamageTests.refuses
          PyTorchDamageTests.trailing
          PyTorchDamageTests.survives ]
