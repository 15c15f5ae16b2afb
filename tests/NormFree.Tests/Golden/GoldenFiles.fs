/// Reads the golden values and fills their tensors (tests/golden/README.md).
module NormFree.Tests.Golden.GoldenFiles

open System
open System.IO
open System.Text
open System.Text.Json.Nodes
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks
open NormFree.Training
open TorchSharp
open NormFree.Tests

/// The folder of NORMFREE_GOLDEN.
let private replacement =
    Environment.GetEnvironmentVariable "NORMFREE_GOLDEN" |> Option.ofObj |> Option.filter ((<>) "")

/// Golden files outside the repository are tested completely by the quick tests.
let isComplete = replacement.IsSome

/// The folder of golden values. NORMFREE_GOLDEN overrides it.
let folder = replacement |> Option.defaultValue (Path.Combine(repository, "tests", "golden"))

let private parse name =
    match JsonNode.Parse(File.ReadAllText(Path.Combine(folder, name))) with
    | null -> failwith $"{name} is empty."
    | node -> node

let layers = lazy (parse "layers.json").AsObject()
let models = lazy [ for entry in (parse "models.json").AsArray() -> (nonNull entry).AsObject() ]
let backbones = lazy [ for entry in (parse "backbones.json").AsArray() -> (nonNull entry).AsObject() ]
let runs = lazy [ for entry in (parse "training.json").AsArray() -> (nonNull entry).AsObject() ]

let private salt =
    lazy
        (match (parse "meta.json")["salt"] with
         | null -> ""
         | salt -> salt.GetValue<string>())

/// A required member of an object.
let get (key: string) (entry: JsonObject) =
    match entry[key] with
    | null -> failwith $"No {key}."
    | node -> node

let text key entry = (get key entry).GetValue<string>()
let number key entry = (get key entry).GetValue<float>()
let integer key entry = (get key entry).GetValue<int>()
let floats key entry = [| for value in (get key entry).AsArray() -> (nonNull value).GetValue<float>() |]
let integers key entry = [| for value in (get key entry).AsArray() -> (nonNull value).GetValue<int64>() |]

let private crc32 (text: string) =
    // Reflected CRC-32 (IEEE 802.3), as in zlib.
    let mutable crc = 0xFFFFFFFFu

    for byte in Encoding.UTF8.GetBytes text do
        crc <- crc ^^^ uint32 byte

        for _ in 1..8 do
            crc <- if crc &&& 1u = 1u then (crc >>> 1) ^^^ 0xEDB88320u else crc >>> 1

    crc ^^^ 0xFFFFFFFFu

/// The phase s of a wave.
let private phase key = float (crc32 (salt.Value + key)) / 4294967296.0

/// Deterministic test data: offset + scale·sin(i·0.7548776662466927·(1 + s) + 6.283185307179586·s), s = crc32(salt + key)/2³².
let wave count key scale offset =
    let s = phase key

    Array.init count (fun i -> offset + scale * sin (float i * 0.7548776662466927 * (1.0 + s) + 6.283185307179586 * s))

/// `wave` as a tensor, computed by torch: ten times faster for the millions of weights of a network.
let private waveTensor (count: int64) key (scale: float) (offset: float) =
    let s = phase key
    let values = torch.arange (count.ToScalar(), dtype = torch.ScalarType.Float64)
    values.mul_((0.7548776662466927).ToScalar()).mul_((1.0 + s).ToScalar()) |> ignore
    values.add_((6.283185307179586 * s).ToScalar()).sin_().mul_(scale.ToScalar()).add_(offset.ToScalar())

/// Scale and offset of a tensor's wave.
let private rule (key: string) (shape: int64[]) =
    let ends (suffix: string) = key.EndsWith(suffix, StringComparison.Ordinal)

    if ends "running_var" then
        0.25, 1.0
    elif ends "running_mean" then
        0.1, 0.0
    elif ends "gain" || (ends "weight" && (key.Contains "bn" || key.Contains "downsample.2")) then
        0.2, 1.0
    elif key.Contains "prelu" then
        0.1, 0.25
    elif shape.Length = 4 && ends "weight" then
        sqrt (2.0 / float (Array.reduce (*) shape[1..])), 0.0
    elif shape.Length = 2 then
        1.0 / sqrt (float shape[1]), 0.0
    else
        0.1, 0.0

/// Fills a network's tensors with waves.
let fill (network: Network) =
    let shapes = dict network.Tensors

    network
    |> Network.fill (fun key ->
        let tensor = shapes[key]

        if key.EndsWith("num_batches_tracked", StringComparison.Ordinal) then
            torch.zeros_like tensor
        else
            let scale, offset = rule key tensor.shape
            waveTensor (tensor.numel ()) key scale offset)

/// A table with the entry's stem, norm and binarisation.
let withChoices (table: JsonObject -> StemKind -> NetSpec) entry =
    let stem = if text "stem" entry = "cifar" then CifarStem else ImageNetStem

    let norm =
        match text "norm" entry with
        | "batch-norm" -> BatchNorm
        | "none" -> NoNorm
        | "bn-free" -> BnFree 0.2
        | other -> failwith $"Unknown norm {other}."

    let binarise =
        match text "binarise" entry with
        | "activations" -> Activations
        | "activations+weights" -> ActivationsAndWeights
        | other -> failwith $"Unknown binarisation {other}."

    table entry stem |> Net.withClasses 10 |> Net.withNorm norm |> Net.withBinarise binarise

/// The network of an entry: its architecture, norm, binarisation and stem.
let spec entry =
    let table entry stem =
        match Architecture.tryFind (text "arch" entry) with
        | Some table -> table Size.Full stem
        | None -> failwith "Unknown architecture."

    withChoices table entry

let name entry =
    let part key = text key entry
    String.Join(" ", [ part "arch"; part "norm"; part "binarise"; part "stem" ])

/// Whether an entry is a quick test: all CIFAR networks, two ImageNet networks of ReActNet-18 and one of ReActNet-A. The others are soak tests.
let isQuick entry =
    let names key value = text key entry = value

    isComplete
    || names "stem" "cifar"
    || (names "norm" "bn-free" && names "binarise" "activations+weights")
    || (names "arch" "reactnet-18" && names "norm" "batch-norm" && names "binarise" "activations")

/// A network in float64, filled with waves.
let network (net: NetSpec) =
    let network = Network.create torch.ScalarType.Float64 Rule.Published 0L net
    fill network
    network

let tensor (shape: int64[]) (values: float[]) = torch.tensor(values, dtype = torch.ScalarType.Float64).reshape shape
