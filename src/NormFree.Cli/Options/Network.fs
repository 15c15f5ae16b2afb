/// Options of the network.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.Options.Network

open NormFree.Cli
open NormFree.Spec
open NormFree.Runs
open NormFree.Networks

let private network option = Opt.group "Network" option

let arch =
    Opt.choice
        "--arch"
        "NAME"
        [ for name, _ in Architecture.all -> name, name ]
        "Architecture; 'network list' prints all."
    |> Opt.defaultsTo "reactnet-18"
    |> network

/// Architectures with binary layers only.
let binaryArch =
    let names =
        [ for name, table in Architecture.all do
              if Net.isBinary (table Size.Full CifarStem) then
                  name ]

    Opt.choice "--arch" "NAME" [ for name in names -> name, name ] "Architecture; 'network list' prints all."
    |> Opt.defaultsTo "reactnet-18"
    |> network

let norm =
    let alpha form case text = Some(Opt.parameter $"--norm {form}" "a positive number" Opt.isPositive text case)

    let tryParse text =
        match Opt.wordAndParameter text with
        | "batch-norm", None -> Some(Ok BatchNorm)
        | "none", None -> Some(Ok NoNorm)
        | "bn-free", None -> Some(Ok(BnFree Defaults.Alpha))
        | "scaled", None -> Some(Ok(Scaled Defaults.Alpha))
        | "bn-free", Some text -> alpha "bn-free" BnFree text
        | "scaled", Some text -> alpha "scaled" Scaled text
        | _ -> None

    Opt.forms
        "--norm"
        "NORM"
        [ "batch-norm"; "none"; "bn-free[:ALPHA]"; "scaled[:ALPHA]" ]
        "Normalisation of binary layers."
        tryParse
    |> Opt.defaultsTo "bn-free"
    |> network

let binarise =
    Opt.choice
        "--binarise"
        "WHAT"
        [ for case in [ Activations; ActivationsAndWeights ] -> Names.binarise case, case ]
        "What is binary (stage 1: activations; stage 2: both)."
    |> Opt.defaultsTo (Names.binarise ActivationsAndWeights)
    |> network

let shortcut =
    Opt.choice
        "--shortcut"
        "WEIGHTS"
        [ for case in [ WeightBinariser.Binary; WeightBinariser.ZeroMean; WeightBinariser.Real ] ->
              Names.weights case, case ]
        "Stage 2's shortcut weights (default: zero-mean if bn-free)."
    |> network

let estimator =
    let positive form case text = Some(Opt.parameter $"--estimator {form}" "a positive number" Opt.isPositive text case)

    let tryParse text =
        match Opt.wordAndParameter text with
        | "approx-sign", None -> Some(Ok SignGradient.ApproxSign)
        | "ste", None -> Some(Ok(SignGradient.StraightThrough 1.0))
        | "ste", Some text -> positive "ste" SignGradient.StraightThrough text
        | "sigmoid", None -> Some(Ok(SignGradient.SigmoidDerivative 3.0))
        | "sigmoid", Some text -> positive "sigmoid" SignGradient.SigmoidDerivative text
        | "swish", None -> Some(Ok(SignGradient.SwishSign 5.0))
        | "swish", Some text -> positive "swish" SignGradient.SwishSign text
        | "tanh", None -> Some(Ok(SignGradient.AnnealedTanh(1.0, 10.0)))
        | _ -> None

    Opt.forms
        "--estimator"
        "NAME"
        [ "approx-sign"; "ste[:BOUND]"; "sigmoid[:K]"; "swish[:BETA]"; "tanh" ]
        "Gradient of every sign (default: the architecture's own)."
        tryParse
    |> network

let slopes =
    Opt.choice
        "--slopes"
        "KIND"
        [ for kind in [ SlopeKind.Real; SlopeKind.PowerOfTwo ] -> Names.slopes kind, kind ]
        "Slopes of RPReLUs."
    |> network

let stem =
    Opt.choice "--stem" "KIND" [ "cifar", CifarStem; "imagenet", ImageNetStem ] "Stem (default: by the image size)."
    |> network

let private factor name sentence =
    let values = $"a factor above 0 and up to {Limits.factor}"
    let isFactor value = value > 0.0 && value <= Limits.factor
    Opt.real name "X" values isFactor sentence |> Opt.defaultsTo "1" |> network

let networkFile = Opt.path "--network" "FILE" "Network as JSON, as 'network show' prints it." |> network

let width = factor "--width" "Factor of the architecture's channels."
let depth = factor "--depth" "Factor of the architecture's layers."

let classes =
    Opt.whole "--classes" "N" Limits.classes "Classes of the classifier."
    |> Opt.defaultsTo "1000"
    |> network
