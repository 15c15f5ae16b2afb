namespace NormFree.Spec

/// <summary>A parameter's role. It determines the initialisation, and whether weight decay and clipping apply.</summary>
type ParameterKind =
    | ConvolutionWeight of ConvolutionSpec
    | Gain
    | ShiftBias
    | Slope
    /// The exponent k of a slope 2^round(k).
    | SlopeExponent
    | NormWeight
    | NormBias
    | LinearWeight
    | LinearBias of inputs: int

/// <summary>A trained tensor: its name in published checkpoints and its shape.</summary>
type ParameterSpec =
    { Key: string
      Shape: int list
      Kind: ParameterKind }

    /// <summary>Number of values.</summary>
    member p.Count = p.Shape |> List.fold (fun count side -> count * int64 side) 1L

/// <summary>The names and shapes of a network's tensors, as in published checkpoints.</summary>
[<RequireQualifiedAccess>]
module Parameters =

    let private parameter key shape kind = { Key = key; Shape = shape; Kind = kind }

    let private slopes (slopes: Slopes) channels =
        match slopes.Kind with
        | SlopeKind.Real -> parameter slopes.Key [ channels ] Slope
        | SlopeKind.PowerOfTwo -> parameter slopes.Key [ channels ] SlopeExponent

    let private ofOp op =
        match op with
        | Op.Convolve conv ->
            [ parameter
                  $"{conv.Key}.weight"
                  [ conv.Out; conv.In / conv.Groups; conv.Kernel; conv.Kernel ]
                  (ConvolutionWeight conv)
              if conv.Standardised then
                  parameter $"{conv.Key}.gain" [ conv.Out; 1; 1; 1 ] Gain ]
        | Op.Shift(key, channels) -> [ parameter key [ 1; channels; 1; 1 ] ShiftBias ]
        | Op.RPReLU prelu ->
            [ parameter prelu.ShiftIn [ 1; prelu.Channels; 1; 1 ] ShiftBias
              slopes prelu.Slopes prelu.Channels
              parameter prelu.ShiftOut [ 1; prelu.Channels; 1; 1 ] ShiftBias ]
        | Op.PReLU(found, channels) -> [ slopes found channels ]
        | Op.Normalise(key, channels) ->
            [ parameter $"{key}.weight" [ channels ] NormWeight; parameter $"{key}.bias" [ channels ] NormBias ]
        | Op.Linear(key, inputs, outputs) ->
            [ parameter $"{key}.weight" [ outputs; inputs ] LinearWeight
              parameter $"{key}.bias" [ outputs ] (LinearBias inputs) ]
        | Op.Scale _
        | Op.Sign _
        | Op.ReLU
        | Op.HardTanh
        | Op.CustomActivation _
        | Op.MaxPool _
        | Op.AveragePool _
        | Op.CenterChannels
        | Op.PadChannels _
        | Op.GlobalAveragePool
        | Op.Flatten _ -> []

    /// <summary>A graph's trained tensors in execution order.</summary>
    let ofGraph graph = Graph.operations graph |> List.collect ofOp

    /// <summary>The key and the channels of each batch norm. Its running statistics are <c>key.running_mean</c>,
    /// <c>key.running_var</c> and <c>key.num_batches_tracked</c>.</summary>
    let normsOf graph =
        Graph.operations graph
        |> List.choose (function
            | Op.Normalise(key, channels) -> Some(key, channels)
            | _ -> None)

    /// <summary>The running statistics of each batch norm, and their shapes.</summary>
    let buffersOf graph : (string * int list) list =
        [ for key, channels in normsOf graph do
              $"{key}.running_mean", [ channels ]
              $"{key}.running_var", [ channels ]
              $"{key}.num_batches_tracked", [] ]
