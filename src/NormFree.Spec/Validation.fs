namespace NormFree.Spec

/// <summary>One error in a spec: its place and the problem.</summary>
type SpecError =
    { Where: string
      What: string }

    override e.ToString() = $"{e.Where}: {e.What}"

/// <summary>Validates specs, such as those read from files.</summary>
[<RequireQualifiedAccess>]
module Validation =

    let private error where what = { Where = where; What = what }

    let private require where what condition = if condition then [] else [ error where what ]

    let private maxClasses = 10_000_000
    let private maxChannels = 1 <<< 16
    let private maxKernel, private maxStride = 255, 255
    let private maxLayers = 4096

    /// α and variances in this range keep β and every scale finite and positive in float32.
    let private isScale value = value >= 1e-30 && value <= 1e30

    let private atMost where limit what value =
        require where $"at most {limit} {what} are allowed, not {value}" (value <= limit)

    let private kernel where size =
        require where $"the kernel may be at most {maxKernel}, not {size}" (size <= maxKernel)

    let private stem (stem: Stem) =
        [ atMost "stem" maxChannels "channels" stem.Channels
          kernel "stem" stem.Kernel
          require "stem" $"the stride may be at most {maxStride}, not {stem.Stride}" (stem.Stride <= maxStride)
          require "stem" $"the kernel must be odd, not {stem.Kernel}" (stem.Kernel > 0 && stem.Kernel % 2 = 1)
          require "stem" $"the stride must be at least 1, not {stem.Stride}" (stem.Stride >= 1)
          require "stem" $"the number of channels must be at least 1, not {stem.Channels}" (stem.Channels >= 1) ]

    let private shortcut (layer: BinaryLayer) =
        let fits, needs =
            match layer.Shortcut with
            | Identity -> layer.In = layer.Out && layer.Stride = 1, "equal channels and stride 1"
            | Duplicate -> layer.Out = 2 * layer.In && layer.Stride = 1, "twice as many outputs as inputs and stride 1"
            | Pool -> layer.In = layer.Out && layer.Stride = 2, "equal channels and stride 2"
            | PoolProject -> layer.Stride = 2, "stride 2"

        let article = if layer.Shortcut = Identity then "an" else "a"

        require
            layer.Key
            $"{article} {layer.Shortcut} shortcut needs {needs}, but the layer has {layer.In} inputs, {layer.Out} outputs and stride {layer.Stride}"
            fits

    let private layer (layer: BinaryLayer) =
        let convolutions = layer.Names.Convolutions.Length

        [ atMost layer.Key maxChannels "channels" (max layer.In layer.Out)
          kernel layer.Key layer.Kernel
          require layer.Key $"the kernel must be odd, not {layer.Kernel}" (layer.Kernel > 0 && layer.Kernel % 2 = 1)
          require
              layer.Key
              $"inputs and outputs must be at least 1, not {layer.In} and {layer.Out}"
              (layer.In >= 1 && layer.Out >= 1)
          shortcut layer
          require
              layer.Key
              "it needs one or two names of convolutions, and as many names of norms"
              ((convolutions = 1 || convolutions = 2) && layer.Names.Norms.Length = convolutions)
          require
              layer.Key
              $"{layer.Out} output channels cannot be split evenly over {convolutions} convolutions"
              (convolutions > 0 && layer.Out % convolutions = 0) ]

    let private block (block: ResidualBlock) =
        [ atMost block.Key maxChannels "channels" (max block.In block.Out)
          require
              block.Key
              $"inputs and outputs must be at least 1, not {block.In} and {block.Out}"
              (block.In >= 1 && block.Out >= 1)
          require block.Key $"the stride must be 1 or 2, not {block.Stride}" (block.Stride = 1 || block.Stride = 2) ]

    /// Each layer's inputs must equal the outputs of the layer before it.
    let private connected first (layers: (string * int * int) list) =
        let outputs = first :: (layers |> List.map (fun (_, _, output) -> output))

        [ for (key, input, _), before in List.zip layers (List.take layers.Length outputs) ->
              require key $"it takes {input} channels, but the layer before it produces {before}" (input = before) ]

    let private variances name body =
        match body.ExpectedVariance with
        | ExpectedVariance.Published
        | ExpectedVariance.Corrected -> []
        | ExpectedVariance.Measured variances ->
            require
                name
                $"it needs a variance from 1e-30 to 1e30 for each of its {body.Layers.Length} layers, not {variances}"
                (variances.Length = body.Layers.Length && variances |> List.forall isScale)

    let private body (net: NetSpec) =
        match net.Body with
        | Binary body ->
            [ yield require net.Name "it has no layers" (not body.Layers.IsEmpty)
              yield atMost net.Name maxLayers "layers" body.Layers.Length
              yield! List.collect layer body.Layers
              yield! connected net.Stem.Channels [ for l in body.Layers -> l.Key, l.In, l.Out ]
              yield variances net.Name body
              match body.Norm with
              | BnFree alpha
              | Scaled alpha -> yield require net.Name $"α must be from 1e-30 to 1e30, not {alpha}" (isScale alpha)
              | BatchNorm
              | NoNorm -> () ]
        | FullPrecision blocks ->
            [ yield require net.Name "it has no blocks" (not blocks.IsEmpty)
              yield atMost net.Name maxLayers "blocks" blocks.Length
              yield! List.collect block blocks
              yield! connected net.Stem.Channels [ for b in blocks -> b.Key, b.In, b.Out ] ]

    /// Requires an otherwise valid spec, because it is lowered.
    let private uniqueKeys net =
        Lowering.lower net
        |> Parameters.ofGraph
        |> List.countBy _.Key
        |> List.filter (fun (_, count) -> count > 1)
        |> List.map (fun (key, count) -> error key $"{count} parameters have this name")

    /// <summary>The spec, or all of its errors.</summary>
    let validate (net: NetSpec) : Result<NetSpec, SpecError list> =
        let errors =
            [ require net.Name $"it must have at least 2 classes, not {net.Classes}" (net.Classes >= 2)
              atMost net.Name maxClasses "classes" net.Classes
              yield! stem net.Stem
              yield! body net ]
            |> List.concat

        match (if errors.IsEmpty then uniqueKeys net else errors) with
        | [] -> Ok net
        | errors -> Error errors

    /// <summary>The spec, or every reason why it cannot process images of this size.</summary>
    let fits (height: int) (width: int) (net: NetSpec) : Result<NetSpec, SpecError list> =
        validate net
        |> Result.bind (fun net ->
            match Shapes.infer (Lowering.lower net) { C = 3; H = height; W = width } with
            | Ok _ -> Ok net
            | Error what -> Error [ error $"{net.Name} on {height}×{width} images" what ])
