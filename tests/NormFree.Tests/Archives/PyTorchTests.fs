module NormFree.Tests.Archives.PyTorchTests

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Runtime.InteropServices
open System.Text
open System.Text.Json.Nodes
open Expecto
open NormFree.Formats
open NormFree.Archives.PyTorch
open NormFree.Tests
open NormFree.Tests.Formats
open NormFree.Formats.Safetensors
open NormFree.Tests.Golden

let private folder = Path.Combine(repository, "tests", "fixtures", "interop")
let fixturePath name = Path.Combine(folder, name)
let private fixture name = File.ReadAllBytes(fixturePath name)
let private read (bytes: byte[]) = PyTorchFile.Read(new MemoryStream(bytes), "damaged")

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

/// A zip archive of uncompressed files with correct checksums.
let private zipOf (parts: (string * byte[]) list) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for name, content in parts do
            use part = zip.CreateEntry(name, CompressionLevel.NoCompression).Open()
            part.Write(ReadOnlySpan content))

    stream.ToArray()

let private ascii (text: string) = Encoding.Latin1.GetBytes text

/// The pickle {'t': _rebuild_tensor_v2(storage of 4 floats, offset, size, stride, False, {})} with numbers as text, so that they can have any value.
let private pickleOf (elements: string) (offset: string) (size: string) (stride: string) =
    let number (n: string) = $"I{n}\n"

    let tuple (numbers: string) =
        "("
        + String.Join("", numbers.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> Array.map number)
        + "t"

    "(dVt\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\n"
    + number elements
    + "tQ"
    + number offset
    + tuple size
    + tuple stride
    + "I00\n(dtRs."
    |> ascii

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

let private crafted elements offset size stride =
    zipOf
        [ "a/data.pkl", pickleOf elements offset size stride
          "a/data/0", Array.zeroCreate 16
          "a/version", ascii "3\n" ]

let private giant = "9223372036854775807"

let private malicious =
    [ "fewer elements than the pickle says", crafted "5" "0" "5" "1", [ "'t'"; "5 elements"; "16 bytes" ]
      "more elements than any file can have", crafted giant "0" "1" "1", [ "'t'"; giant ]
      "an offset outside the storage", crafted "4" "4" "1" "1", [ "outside its storage" ]
      "a negative offset", crafted "4" "-1" "1" "1", [ "negative" ]
      "a negative stride", crafted "4" "3" "2" "-1", [ "negative" ]
      "a negative size", crafted "4" "0" "-2" "1", [ "negative" ]
      "a shape whose product exceeds 64 bits", crafted "4" "0" $"{giant} 8" "0 0", [ "'t'"; "needs more than" ]
      "a shape whose product overflows to few elements",
      crafted "4" "0" "4294967296 4294967296" "1 1",
      [ "needs more than" ]
      "strides that overflow into the storage", crafted "4" "0" "3 2" $"{giant} 1", [ "outside its storage" ]
      "an element repeated a million times", crafted "4" "0" "1000000" "0", [ "needs more than"; "file's size" ]
      "a stride for every axis but one", crafted "4" "0" "2 2" "1", [ "2 sizes and 1 strides" ]
      "a hundred axes", crafted "4" "0" (String.replicate 100 "1 ") (String.replicate 100 "1 "), [ "100 sizes" ]
      "a number above 64 bits", crafted "4" (giant + "0") "1" "1", [ "'t'"; "not in PyTorch's format for tensors" ]
      "a missing storage", zipOf [ "a/data.pkl", pickleOf "4" "0" "4" "1" ], [ "'t'"; "storage '0' is not in the file" ]
      "a persistent id of another kind",
      zipOf [ "a/data.pkl", ascii "(dVt\nctorch._utils\n_rebuild_tensor_v2\n((Vmodule\nVx\ntQI0\n(t(tI00\n(dtRs." ],
      [ "'t'"; "not in PyTorch's format for storages" ]
      "a storage key that is a path",
      zipOf
          [ "a/data.pkl",
            (pickleOf "4" "0" "4" "1" |> Encoding.Latin1.GetString).Replace("V0\n", "V../../../etc/passwd\n")
            |> ascii ],
      [ "'../../../etc/passwd' is not in the file" ]
      "a call of a function",
      zipOf [ "a/data.pkl", ascii "cos\nsystem\n(Vecho no\ntR." ],
      [ "'os'.'system'"; "Nothing was imported or executed" ]
      "a whole module", fixture "module.pth", [ "'torch.nn.modules.linear'.'Linear'" ]
      "a list", fixture "list.pth", [ "a list of 1"; "state_dict" ]
      "a TorchScript program", fixture "script.pth", [ "TorchScript"; "state_dict" ]
      "two pickles", zipOf [ "a/data.pkl", [||]; "b/data.pkl", [||] ], [ "several data.pkl" ]
      "no pickle", zipOf [ "a/data/0", [||] ], [ "without data.pkl" ]
      "a duplicate entry", zipOf [ "a/x", [||]; "a/data.pkl", [||]; "a/x", [||] ], [ "'a/x'"; "twice" ]
      "an unknown byte order",
      zipOf [ "a/data.pkl", pickleOf "4" "0" "4" "1"; "a/byteorder", ascii "middle" ],
      [ "'middle'" ]
      "a duplicate key", zipOf [ "a/data.pkl", ascii "(dVk\nI1\nsVk\nI2\ns." ], [ "'k' occurs twice" ]
      "a key that is not a string", zipOf [ "a/data.pkl", ascii "(dI1\nI1\ns." ], [ "not a string" ]
      "nothing", [||], [ "empty" ]
      "a safetensors file", Array.append [| 72uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy |] (ascii "{}"), [ "safetensors" ]
      "text", ascii "model weights", [ "it is text"; "file of the weights" ] ]

/// A changed field of the end record, the directory or the first local header of types.pth.
let private patched (signature: uint32) (offset: int) (value: byte[]) =
    let bytes = fixture "types.pth"
    let mark = Array.zeroCreate 4
    BinaryPrimitives.WriteUInt32LittleEndian(Span mark, signature)
    let at = bytes.AsSpan().IndexOf(ReadOnlySpan mark)
    value.CopyTo(bytes, at + offset)
    bytes

let private archives =
    let ones n = Array.create n 0xffuy
    let directory, local, end64 = 0x02014b50u, 0x04034b50u, 0x06064b50u

    [ "an encrypted entry", patched directory 8 [| 1uy; 0uy |], [ "encrypted" ]
      "an entry longer than the archive",
      patched directory 20 [| 0uy; 0uy; 0uy; 0x7fuy; 0uy; 0uy; 0uy; 0x7fuy |],
      [ "outside" ]
      "an entry that overlaps the next one",
      patched directory 20 [| 0uy; 9uy; 0uy; 0uy; 0uy; 9uy; 0uy; 0uy |],
      [ "overlaps" ]
      "an entry with a wrong offset",
      patched directory 42 [| 1uy; 0uy; 0uy; 0uy |],
      [ "local header is not where the directory says" ]
      "a wrong checksum", patched directory 16 [| 1uy; 2uy; 3uy; 4uy |], [ "checksum" ]
      "a local header that points outside", patched local 28 [| 0xffuy; 0xffuy |], [ "outside" ]
      "a 64-bit count of all ones", patched end64 32 (ones 8), [ "claims -1 entries" ]
      "a 64-bit directory outside the file",
      patched end64 48 [| 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0x7fuy |],
      [ "outside the file" ]
      "several disks", patched end64 16 [| 1uy |], [ "disks" ]
      "no directory", Array.truncate 2000 (fixture "types.pth"), [ "no directory" ] ]

let private stream = lazy (fixture "types-stream.pth")

let private streams =
    [ "another magic number",
      (let bytes = Array.copy stream.Value in
       bytes[4] <- 0uy
       bytes),
      [ "magic number" ]
      "an end before the last storage", Array.truncate (stream.Value.Length - 1) stream.Value, [ "claims"; "remain" ]
      "bytes after the last storage", Array.append stream.Value [| 0uy |], [ "1 bytes follow" ] ]

let private refuses =
    testList
        "rejects with a reason and a place"
        [ for what, bytes, words in malicious @ archives @ streams do
              test what {
                  let message = Mutation.refusal (fun () -> read bytes)
                  Expect.stringStarts message "damaged, " "the file"

                  for word in words do
                      Expect.stringContains message word "message"
              }

          for method', name in [ 12, "bzip2"; 14, "LZMA"; 93, "Zstandard"; 77, "method 77" ] do
              test $"an entry compressed by {name}, by its name" {
                  let message = Mutation.refusal (fun () -> read (patched 0x02014b50u 10 [| byte method'; 0uy |]))
                  Expect.stringContains message $"it is compressed by {name}, not by deflate" "message"
              }

          test "a folder" {
              Expect.stringContains (Mutation.refusal (fun () -> PyTorchFile.Open folder)) "folder" "message"
          } ]

/// Reads all tensors of a file.
let private readAll (bytes: byte[]) =
    for tensor in (read bytes).Tensors do
        tensor.ToBytes() |> ignore

/// The entries of an archive, to be damaged before their checksums are computed; otherwise the checksums would catch everything.
let private partsOf (bytes: byte[]) =
    use zip = new ZipArchive(new MemoryStream(bytes))

    [ for entry in zip.Entries do
          use part = entry.Open()
          use copy = new MemoryStream()
          part.CopyTo copy
          entry.FullName, copy.ToArray() ]

let private damagedInside (name: string) =
    let parts = partsOf (fixture name)

    let pickle =
        parts |> List.find (fun (name, _) -> name.EndsWith("data.pkl", StringComparison.Ordinal)) |> snd

    let others =
        parts |> List.filter (fun (name, _) -> not (name.EndsWith("data.pkl", StringComparison.Ordinal)))

    pickle,
    fun (damaged: byte[]) ->
        zipOf (
            ("a/data.pkl", damaged)
            :: [ for name, content in others -> "a" + name.Substring(name.IndexOf '/'), content ]
        )

let private trailing =
    test "reads a zip with other bytes after its end, as torch.load does" {
        let bytes = fixture "types.pth"
        let names (bytes: byte[]) = [ for tensor in (read bytes).Tensors -> tensor.Name ]
        Expect.equal (names (Array.append bytes (Array.zeroCreate 100))) (names bytes) "tensors"
    }

let private survives =
    testList
        "survives"
        [ for format, seed, names in
              [ "zip", 11, [ "types.pth"; "views.pth"; "unsigned.pth"; "bare.pth" ]
                "stream", 12, [ "types-stream.pth"; "views-stream.pth"; "bare-stream.pth" ] ] do
              test $"damaged files of the {format} format" {
                  let rejected = Mutation.survive seed 200L (List.map fixture names) readAll
                  Expect.isGreaterThan rejected (Mutation.rounds / 3) "rejected"
              }

          test "damaged pickles in archives with correct checksums" {
              let pickle, archive = damagedInside "views.pth"
              let rejected = Mutation.surviveInside archive 13 200L [ pickle ] readAll
              Expect.isGreaterThan rejected (Mutation.rounds / 3) "rejected"
          } ]

let tests = testList "PyTorch" [ reads; oldParameters; writes; refuses; trailing; survives ]
