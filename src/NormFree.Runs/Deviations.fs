namespace NormFree.Runs

/// <summary>Whether to follow the published code or to correct it.</summary>
[<RequireQualifiedAccess>]
type Rule =
    | Published
    | Corrected

/// <summary>The deviations from the published code, one switch each (numbers as in docs/method.md).</summary>
type Deviations =
    {
        /// 2: the published schedule steps before each epoch, so the last of E epochs trains at rate 0. Corrected: the rate decays at every step,
        /// and epoch e starts at 1 − e/E.
        LastEpoch: Rule
        /// 4: the published code adds PCA lighting for [0, 1] to pixels of 0–255. Corrected: it is multiplied by 255.
        Lighting: Rule
        /// 5: the published expected variance misses layers. Corrected: it follows NF-ResNet's rule.
        ExpectedVariance: Rule
        /// 7: the published weight decay applies to shifts and gains too. Corrected: only to weights of convolutions and the classifier.
        WeightDecay: Rule
        /// 8: the published code clips shifts, whose norm starts at 0. Corrected: only weights of convolutions.
        Clipping: Rule
        /// 9: published binary weights start non-negative. Corrected: symmetric around 0.
        BinaryInit: Rule
        /// 10: binary filters lose 1 − 2/π of their variance. Corrected: they are multiplied by √(π/2).
        BinaryGain: Rule
        /// 14: the published code uses one learning rate for all parameters, although signals are about α times as large as after a norm and a step
        /// turns a filter by an angle that grows with its inputs. Corrected: α times the rate for shifts, 1/α for gains, less for large filters.
        Rates: Rule
        /// 15: without a norm nothing keeps signs centred and the signal's variance constant. Corrected: shifts follow the channel means, and gains
        /// shrink where a layer amplifies its signal.
        SignCentering: Rule
        /// 16: the published code binarises the filters of shortcuts to signs, which do not sum to 0, so the means of channels leak through them.
        /// Corrected: the mean of the signs is subtracted, in bn-free networks whose shortcuts become binary.
        ShortcutWeights: Rule
        /// 17: without a norm the residual stream's channel means grow from block to block. Corrected: the last shift of every RPReLU takes off the mean
        /// that its block adds.
        StreamCentering: Rule
    }

    static member private All rule =
        { LastEpoch = rule
          Lighting = rule
          ExpectedVariance = rule
          WeightDecay = rule
          Clipping = rule
          BinaryInit = rule
          BinaryGain = rule
          Rates = rule
          SignCentering = rule
          ShortcutWeights = rule
          StreamCentering = rule }

    /// <summary>As published.</summary>
    static member Published = Deviations.All Rule.Published

    /// <summary>All corrected.</summary>
    static member Corrected = Deviations.All Rule.Corrected

/// <summary>One switch of <c>Deviations</c>, for code that iterates over all of them.</summary>
type Deviation =
    {
        /// As in docs/method.md.
        Number: int
        Name: string
        Of: Deviations -> Rule
        With: Rule -> Deviations -> Deviations
    }

[<RequireQualifiedAccess>]
module Deviation =

    let private deviation number name get set = { Number = number; Name = name; Of = get; With = set }

    /// <summary>Every switch.</summary>
    let all =
        [ deviation 2 "last epoch's rate" _.LastEpoch (fun rule d -> { d with LastEpoch = rule })
          deviation 4 "lighting" _.Lighting (fun rule d -> { d with Lighting = rule })
          deviation 5 "expected variance" _.ExpectedVariance (fun rule d -> { d with ExpectedVariance = rule })
          deviation 7 "weight decay" _.WeightDecay (fun rule d -> { d with WeightDecay = rule })
          deviation 8 "clipping" _.Clipping (fun rule d -> { d with Clipping = rule })
          deviation 9 "binary initialisation" _.BinaryInit (fun rule d -> { d with BinaryInit = rule })
          deviation 10 "binary gain" _.BinaryGain (fun rule d -> { d with BinaryGain = rule })
          deviation 14 "rates" _.Rates (fun rule d -> { d with Rates = rule })
          deviation 15 "sign centering" _.SignCentering (fun rule d -> { d with SignCentering = rule })
          deviation 16 "shortcut weights" _.ShortcutWeights (fun rule d -> { d with ShortcutWeights = rule })
          deviation 17 "stream centering" _.StreamCentering (fun rule d -> { d with StreamCentering = rule }) ]
