/// Files of tensors: safetensors, checkpoints and ONNX.
module NormFree.Fuzz.TensorTargets

open System
open System.Collections.Generic
open System.IO
open NormFree.Formats
open NormFree.Formats.Onnx
open NormFree.Formats.Safetensors
open NormFree.Inference
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Fuzz.Contract
open NormFree.Fuzz.TensorParts

let private openBytes (bytes: byte[]) = SafetensorsFile.Read(new MemoryStream(bytes), "input")

let private isFloat (entry: TensorEntry) = entry.DType.Name().Contains 'F'

let private readSafetensors bytes =
    use file = openBytes bytes

    for entry in file.Tensors |> Seq.truncate 64 do
        file.ReadBytes entry |> ignore
        file.ReadAsDouble entry |> ignore
        file.ReadAsSingle entry |> ignore

        if not (isFloat entry) then
            try
                file.ReadAsInt64 entry |> ignore
            with :? InvalidFileException when entry.DType = DType.U64 ->
                ()

    file.RequireChecksum()

let private drawPart (draw: Draw) =
    let kind = DTypes.All[draw.Below DTypes.All.Count]
    let shape = Array.init (draw.Below 4) (fun _ -> int64 (draw.Below 4))
    let elements = Array.fold (*) 1L shape
    { Name = draw.Text(); Type = kind; Shape = shape; Bytes = draw.Bytes(int elements * kind.Bytes()) }

/// The pieces of a file, or None if the writer refuses them.
let private drawFile (draw: Draw) =
    let writer = SafetensorsWriter()
    let metadata = [ for _ in 1 .. draw.Below 4 -> draw.Text(), draw.Text() ]
    let parts = [ for _ in 1 .. draw.Below 5 -> drawPart draw ]

    try
        for key, value in metadata do
            writer.Describe(key, value) |> ignore

        for part in parts do
            writer.Add(part.Name, part.Type, ReadOnlySpan part.Shape, ReadOnlyMemory part.Bytes) |> ignore

        Some(metadata, parts, written (writer.DescribeChecksum()).Write)
    with :? ArgumentException ->
        None

/// Whether the file has the pieces. Its own entry of the metadata is the checksum.
let private holds metadata parts (file: SafetensorsFile) =
    let isSame part (entry: TensorEntry) =
        entry.Name = part.Name
        && entry.DType = part.Type
        && Seq.toArray entry.Shape = part.Shape
        && file.ReadBytes entry = part.Bytes

    file.Metadata.Count = List.length metadata + 1
    && metadata |> List.forall (fun (key, value) -> file.Metadata.GetValueOrDefault key = value)
    && file.Tensors.Count = List.length parts
    && Seq.forall2 isSame parts file.Tensors

/// Writes a file with a checksum, reads it, and expects that a flipped bit is detected.
let private roundTrip bytes =
    let draw = Draw bytes

    match drawFile draw with
    | None -> ()
    | Some(metadata, parts, whole) ->
        using (openBytes whole) (fun file ->
            file.RequireChecksum()

            if not (holds metadata parts file) then
                fail "the file differs from what was written")

        let place = (int (draw.Byte()) <<< 8 ||| int (draw.Byte())) % whole.Length
        whole[place] <- whole[place] ^^^ (1uy <<< draw.Below 8)

        try
            use file = openBytes whole
            file.RequireChecksum()

            // Two spellings of one header, such as \u00e9 and \u00E9.
            if not (holds metadata parts file) then
                fail $"a bit was flipped at byte {place}, and the checksum accepts it"
        with :? InvalidFileException ->
            ()

/// Zeros for the tensors of a spec, unless they are large.
let private zeros (spec: string) =
    match Json.read<NetSpec> spec |> Result.toOption |> Option.map Validation.validate with
    | Some(Ok net) ->
        let shapes = Network.tensorShapes net
        let elements (shape: int64[]) = Array.fold (fun product side -> product * float side) 1.0 shape

        if List.sumBy (snd >> elements) shapes < 1e5 then
            [ for name, shape in shapes ->
                  { Name = name
                    Type = DType.F32
                    Shape = shape
                    Bytes = Array.zeroCreate (4 * int (elements shape)) } ]
        else
            []
    | _ -> []

let private isStable (value: 'T) =
    let text = Json.write value

    match Json.read<'T> text with
    | Ok again when Json.write again = text -> ()
    | Ok _ -> fail "the value changes when it is written again"
    | Error why -> fail $"the written value is rejected: {why}"

/// Runs, and ignores documented exceptions, so that the next reader is tried too.
let private attempt (run: unit -> unit) =
    try
        run ()
    with :? InvalidFileException ->
        ()

/// The metadata of a checkpoint with a correct checksum: spec, task and state, separated by zero bytes.
let private readCheckpoint bytes =
    let texts = Draw.Texts bytes
    let item n = texts |> List.tryItem n |> Option.defaultValue ""
    let writer = SafetensorsWriter().Describe("format", "normfree-checkpoint")
    let version = if item 3 = "" then "3" else item 3

    writer.Describe("version", version).Describe("spec", item 0).Describe("task", item 1).Describe("state", item 2)
    |> ignore

    for part in zeros (item 0) do
        writer.Add(part.Name, part.Type, ReadOnlySpan part.Shape, ReadOnlyMemory part.Bytes) |> ignore

    withFile "checkpoint" (written (writer.DescribeChecksum()).Write) (fun path ->
        attempt (fun () -> isStable (Checkpoint.readState path))
        attempt (fun () -> isStable (Checkpoint.readTask path))
        Checkpoint.readSpec path |> isStable)

/// The fields of a protobuf message: number, and the bytes of those that have a length.
let rec private fields (bytes: ReadOnlyMemory<byte>) : (int * ReadOnlyMemory<byte>) list =
    let mutable at = 0

    let varint () =
        let mutable value, shift = 0UL, 0

        while bytes.Span[at] >= 0x80uy do
            value <- value ||| (uint64 (bytes.Span[at] &&& 0x7fuy) <<< shift)
            at <- at + 1
            shift <- shift + 7

        at <- at + 1
        value ||| (uint64 bytes.Span[at - 1] <<< shift)

    [ while at < bytes.Length do
          let tag = varint ()

          let length =
              match tag &&& 7UL with
              | 2UL -> int (varint ())
              | 5UL -> 4
              | 0UL ->
                  varint () |> ignore
                  0
              | wire -> fail $"wire type {wire}"

          yield int (tag >>> 3), bytes.Slice(at, length)
          at <- at + length ]

let private nodeOf (draw: Draw) =
    let names () = [| for _ in 1 .. draw.Below 3 -> draw.Text() |]

    let attribute () =
        match draw.Below 3 with
        | 0 -> OnnxAttribute.Of(draw.Text(), float32 (draw.Byte()))
        | 1 -> OnnxAttribute.Of(draw.Text(), BitConverter.ToInt64(ReadOnlySpan(draw.Bytes 8)))
        | _ -> OnnxAttribute.Of(draw.Text(), [| for _ in 1 .. draw.Below 3 -> int64 (sbyte (draw.Byte())) |])

    OnnxNode(draw.Text(), draw.Text(), names (), names (), [| for _ in 1 .. draw.Below 3 -> attribute () |])

/// Writes a model of any parts, and expects its nodes and constants in a message that nests correctly.
let private writeOnnx bytes =
    let draw = Draw bytes
    let nodes = [| for _ in 1 .. draw.Below 4 -> nodeOf draw |]
    let parts = [| for _ in 1 .. draw.Below 4 -> drawPart draw |]

    let constants =
        [| for part in parts -> OnnxTensor(part.Name, part.Type, part.Shape, ReadOnlyMemory part.Bytes) |]

    let dimension () =
        if draw.Below 2 = 0 then
            OnnxDimension.Open(draw.Text())
        else
            OnnxDimension.Of(int64 (draw.Byte()))

    let value () =
        OnnxValue(
            draw.Text(),
            DTypes.All[draw.Below DTypes.All.Count],
            [| for _ in 1 .. draw.Below 3 -> dimension () |]
        )

    let graph = OnnxGraph(draw.Text(), nodes, constants, [| value () |], [| value () |])
    let metadata = Dictionary(dict [ draw.Text(), draw.Text() ])
    let model = OnnxModel(int64 (draw.Byte()), draw.Text(), graph, metadata)
    let top = fields (ReadOnlyMemory(written model.Write))
    let all number message = message |> List.filter (fst >> (=) number) |> List.map snd
    let only number message = List.exactlyOne (all number message)
    let text (bytes: ReadOnlyMemory<byte>) = Text.Encoding.UTF8.GetString bytes.Span
    // Lone surrogates become U+FFFD.
    let utf8 (value: string) = Text.Encoding.UTF8.GetString(Text.Encoding.UTF8.GetBytes value)
    let found = fields (only 7 top)

    let readNodes = [ for node in all 1 found -> text (only 3 (fields node)), text (only 4 (fields node)) ]

    if readNodes <> [ for node in nodes -> utf8 node.Name, utf8 node.Operator ] then
        fail "the nodes differ from what was written"

    let readParts =
        [ for part in all 5 found -> text (only 8 (fields part)), (only 9 (fields part)).ToArray() ]

    if readParts <> [ for part in parts -> utf8 part.Name, part.Bytes ] then
        fail "the constants differ from what was written"

let targets =
    [ { Name = "safetensors"; MaxBytes = 4096; Factor = 400L; Read = readSafetensors }
      { Name = "safetensors-round-trip"; MaxBytes = 512; Factor = 400L; Read = roundTrip }
      { Name = "packed"; MaxBytes = 8192; Factor = 1000L; Read = PackedTargets.readPacked }
      // The table may ask for 64 tensors of 64 Ki elements.
      { Name = "packed-parts"; MaxBytes = 6144; Factor = 65536L; Read = PackedTargets.readPackedParts }
      { Name = "checkpoint"; MaxBytes = 16384; Factor = 4000L; Read = readCheckpoint }
      { Name = "onnx"; MaxBytes = 512; Factor = 400L; Read = writeOnnx } ]
