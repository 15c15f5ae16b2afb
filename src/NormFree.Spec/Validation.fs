namespace NormFree.Spec

/// <summary>Validates specs, such as those read from files.</summary>
[<RequireQualifiedAccess>]
module Validation =

    let private where number (block: Block) =
        match number, block.Key with
        | 0, "" -> "stem"
        | number, "" -> $"block {number}"
        | _, key -> key

    let private shortcut where inputs outputs (block: Block) =
        let stride = Blocks.stride block
        let same = inputs = outputs

        let name, fits, needs =
            match block.Shortcut with
            | Shortcut.None
            | Shortcut.Concatenate -> "Concatenate", (block.Shortcut = Shortcut.None || stride = 1), "stride 1"
            | Shortcut.Identity -> "Identity", same && stride = 1, "equal channels and stride 1"
            | Shortcut.Duplicate ->
                "Duplicate", outputs = 2 * inputs && stride = 1, "twice as many outputs as inputs and stride 1"
            | Shortcut.AveragePool -> "AveragePool", same && stride = 2, "equal channels and stride 2"
            | Shortcut.MaxPool -> "MaxPool", same && stride = 2, "equal channels and stride 2"
            | Shortcut.AveragePoolProject _ -> "AveragePoolProject", stride = 2, "stride 2"
            | Shortcut.Project _ -> "Project", stride <= Check.maxSide, $"a stride of at most {Check.maxSide}"
            | Shortcut.PadChannels ->
                "PadChannels", outputs >= inputs && stride <= 2, "at least as many outputs as inputs and stride 1 or 2"

        let article = if "AEIOU".Contains name[0] then "an" else "a"

        Check.require
            where
            $"{article} {name} shortcut needs {needs}, but the block has {inputs} inputs, {outputs} outputs and stride {stride}"
            fits

    let private shortcutNames where block =
        match Blocks.projection block with
        | Some projection -> Check.name where projection.Name @ Check.name where projection.Norm
        | None -> []

    let private parts where inputs parts =
        (([], inputs), parts)
        ||> List.fold (fun (errors, channels) (place, before, part) ->
            errors @ PartCheck.errors $"{where}{place}" before channels part, PartCheck.outputs channels part)

    /// Parts with their place and the part before them.
    let private placed name parts =
        List.zip3
            [ for i in 1 .. List.length parts -> $", {name} part {i}" ]
            (List.truncate (List.length parts) (None :: List.map Some parts))
            parts

    /// The channels of a block's sum, and their errors.
    let private concatenated where channels outputs (block: Block) =
        if block.Shortcut = Shortcut.Concatenate then
            channels + outputs,
            Check.atMost where Check.maxChannels "channels after the concatenation" (channels + outputs)
        else
            outputs, []

    /// The errors of a block, and the channels after it.
    let private block channels (number, block: Block) =
        let where = where number block
        let count = block.Branch.Length + block.After.Length

        if count > Check.maxParts then
            Check.atMost where Check.maxParts "parts" count, channels
        else
            let ofKey = if block.Key = "" then [] else Check.name where block.Key
            let ofBranch, outputs = parts where channels (placed "branch" block.Branch)
            let ofShortcut = if ofBranch.IsEmpty then shortcut where channels outputs block else []
            let outputs, ofSum = concatenated where channels outputs block
            let ofAfter, outputs = parts where outputs (placed "after" block.After)
            ofKey @ ofBranch @ ofShortcut @ shortcutNames where block @ ofSum @ ofAfter, outputs

    /// The classifier is the last part, and the only linear layer.
    let private classifier (net: NetSpec) =
        let all = net.Blocks |> List.collect (fun block -> block.Branch @ block.After)
        let isBesideShortcut (block: Block) = block.Shortcut <> Shortcut.None && block.Branch |> List.exists _.IsLinear

        Check.require
            net.Name
            "its last part must be a linear layer, and no other part may be one: end with Classifier.pooled or Classifier.flat"
            ((List.tryLast all |> Option.exists _.IsLinear) && (all |> List.filter _.IsLinear |> List.length = 1))
        @ Check.require
            net.Name
            "a linear layer must not be in the branch beside a shortcut: put it into a block of its own, such as Classifier.pooled"
            (not (List.exists isBesideShortcut net.Blocks))

    let private norm (net: NetSpec) =
        match net.Norm with
        | BnFree alpha
        | Scaled alpha -> Check.require net.Name $"α must be from 1e-30 to 1e30, not {alpha}" (Check.isScale alpha)
        | BatchNorm
        | NoNorm -> []

    let private variances (net: NetSpec) =
        match net.ExpectedVariance with
        | ExpectedVariance.Published
        | ExpectedVariance.Corrected -> []
        | ExpectedVariance.Measured variances ->
            let blocks = (Net.residualBlocks net).Length

            Check.require
                net.Name
                $"it needs a variance from 1e-30 to 1e30 for each of its {blocks} residual blocks, not {variances}"
                (variances.Length = blocks && variances |> List.forall Check.isScale)

    let private standardisable graph =
        [ for op in Graph.operations graph do
              match op with
              | Op.Convolve conv when conv.Standardised && conv.FanIn = 1 ->
                  Check.error
                      conv.Key
                      "its filters have one weight each, and a standardised filter of one weight is 0: choose fewer groups, a larger kernel or a norm \
                       without standardisation"
              | _ -> () ]

    /// The errors of the tensors. Requires an otherwise valid spec, because it is lowered.
    let private tensors (net: NetSpec) =
        let graph = Lowering.lower net
        let parameters = Parameters.ofGraph graph
        let values = parameters |> List.sumBy (fun parameter -> float parameter.Count)

        let repeated =
            List.map _.Key parameters @ List.map fst (Parameters.buffersOf graph)
            |> List.countBy id
            |> List.filter (fun (_, count) -> count > 1)

        [ for key, count in repeated -> Check.error key $"{count} parameters have this name"
          yield! standardisable graph
          yield!
              Check.require
                  net.Name
                  $"at most {Check.maxValues:F0} values of parameters are allowed, not {values:F0}"
                  (values <= Check.maxValues) ]

    /// <summary>The spec, or all of its errors.</summary>
    let validate (net: NetSpec) : Result<NetSpec, SpecError list> =
        let ofBlocks, _ = (3, List.indexed net.Blocks) ||> List.mapFold block

        let errors =
            [ Check.require "the network" "it needs a name" (net.Name <> "")
              Check.require net.Name $"it must have at least 2 classes, not {net.Classes}" (net.Classes >= 2)
              Check.atMost net.Name Check.maxClasses "classes" net.Classes
              Check.require net.Name "it needs at least two blocks, a stem and a classifier" (net.Blocks.Length >= 2)
              Check.atMost net.Name Check.maxBlocks "blocks" net.Blocks.Length
              classifier net
              norm net
              variances net
              yield! ofBlocks ]
            |> List.concat

        match (if errors.IsEmpty then tensors net else errors) with
        | [] -> Ok net
        | errors -> Error errors

    /// <summary>The spec, or every reason why it cannot process images of this size.</summary>
    let fits (height: int) (width: int) (net: NetSpec) : Result<NetSpec, SpecError list> =
        validate net
        |> Result.bind (fun net ->
            match Shapes.infer (Lowering.lower net) { C = 3; H = height; W = width } with
            | Ok _ -> Ok net
            | Error what -> Error [ Check.error $"{net.Name} on {height}×{width} images" what ])
